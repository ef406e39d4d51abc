import ArgumentParser
import FoundationEssentials
import Glibc
import InferqCore

struct WatchCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Follow the events or the output of a job.",
        discussion: """
            Prints every event from the first as it comes, and resumes where it was when the connection breaks or the \
            gateway restarts. In a pipe every line is a JSON object. Exits with 0 if the job COMPLETED, with 1 if it \
            ended otherwise. With --output it prints the output, from its first byte: a text as it comes, anything \
            else when the job has COMPLETED; events go to standard error. An attempt that is repeated begins on \
            a new line, and standard error says so.
            """
    )

    @Argument(help: "The job's event_id; its id works too.", completion: Completions.jobs)
    var eventID: String

    @Flag(help: "Print JSON on a terminal too.")
    var json = false

    @Flag(help: "Print the output as it comes: for a model server's stream, the text.")
    var output = false

    @Flag(help: "With --output: print the bytes as they come.")
    var raw = false

    @OptionGroup
    var gateway: GatewayOptions

    func validate() throws {
        if raw, !output { throw ValidationError("--raw needs --output") }
        if json, output { throw ValidationError("--json prints events and --output the output; choose one of them") }
    }

    func perform() async throws {
        guard let id = UUIDv7(eventID) else {
            throw ClientError(.usage, "\(eventID.quoted()) is not a UUID; give the event_id of a job")
        }
        try await gateway.withGateway { client in
            do {
                try await follow(id.description, client)
            } catch let error as ClientError where error.status == 404 {
                guard let record = try await JobRecord.find(id.description, client) else { throw error }
                try await follow(record.eventID, client)
            }
        }
    }

    private func follow(_ id: String, _ client: GatewayClient) async throws {
        let watch = JobWatch(client: client, eventID: id, firstContact: .stillToCome, withOutput: output)
        if output { return try await OutputWatch.follow(watch, raw ? .raw : .text) }
        let terminal = json ? nil : Terminal(STDOUT_FILENO)
        let last = try await watch.follow { event in
            guard let terminal else { return try StandardOutput.write(line: event.line) }
            let line = "\(Timestamp.now.localTime)  \(terminal.status(event.status))  \(event.text)"
            try StandardOutput.write(line: line)
        } complain: { complaint in
            StandardError.write("inferq: \(complaint.visible())")
        }
        if last.status != "COMPLETED" { throw ExitCode(1) }
    }
}
