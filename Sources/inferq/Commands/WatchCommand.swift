import ArgumentParser
import FoundationEssentials
import Glibc
import InferqCore

struct WatchCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Follow the events of a job.",
        discussion: """
            Prints every event from the first as it comes, and goes on where it was when the connection breaks or the \
            gateway restarts. In a pipe every line is a JSON object. Exits with 0 if the job COMPLETED, with 1 if it \
            ended otherwise.
            """
    )

    @Argument(help: "The job's event_id; its id does as well.")
    var eventID: String

    @Flag(help: "Print JSON on a terminal too.")
    var json = false

    @OptionGroup
    var gateway: GatewayOptions

    func perform() async throws {
        guard let id = UUIDv7(eventID) else {
            throw ClientError(.usage, "\(eventID.quoted()) is not a UUID; give the event_id of a job")
        }
        let terminal = json ? nil : Terminal(STDOUT_FILENO)
        let last = try await gateway.withGateway { client in
            do {
                return try await follow(id.description, client, terminal)
            } catch let error as ClientError where error.status == 404 {
                guard let record = try await JobRecord.find(id.description, client) else { throw error }
                return try await follow(record.eventID, client, terminal)
            }
        }
        if last.status != "COMPLETED" { throw ExitCode(1) }
    }

    private func follow(_ id: String, _ client: GatewayClient, _ terminal: Terminal?) async throws -> WatchedEvent {
        let watch = JobWatch(client: client, eventID: id, firstContact: .stillToCome)
        return try await watch.follow { event in
            guard let terminal else { return try StandardOutput.write(line: event.line) }
            let line = "\(Timestamp.now.localTime)  \(terminal.status(event.status))  \(event.text)"
            try StandardOutput.write(line: line)
        } complain: { complaint in
            StandardError.write("inferq: \(complaint.visible())")
        }
    }
}
