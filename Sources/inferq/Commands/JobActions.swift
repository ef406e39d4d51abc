import ArgumentParser
import Glibc

/// What `cancel`, `retry` and `delete` share: one job after the other, and the first refusal gives the exit code.
protocol JobsAction: ClientCommand {
    var jobs: JobsArguments { get }

    func act(on path: String, _ client: GatewayClient) async throws -> GatewayClient.Answer
    /// What is said of a job that it was done to; its record is nil if the answer holds none.
    func sentence(_ id: String, _ job: JobSummary?) -> String
}

/// Which jobs, and how what became of them is printed.
struct JobsArguments: ParsableArguments {
    @Argument(help: "Ids of jobs.", completion: Completions.jobs)
    var ids: [String]

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup
    var gateway: GatewayOptions
}

extension JobsAction {
    func perform() async throws {
        let paths = try jobs.ids.map { (id: $0, path: try JobPath.record($0)) }
        try await jobs.gateway.withGateway { client in
            var first: ClientError?
            for (id, path) in paths {
                do {
                    try await tell(id, act(on: path, client), client)
                } catch let error as ClientError where error.status != nil && paths.count > 1 {
                    StandardError.write("inferq: \(error.sentence.visible())")
                    first = first ?? error
                }
            }
            if let first { throw first.exitCode }
        }
    }

    private func tell(_ id: String, _ answer: GatewayClient.Answer, _ client: GatewayClient) async throws {
        guard answer.status != 204 else {
            if !jobs.json { try StandardOutput.write(line: sentence(id, nil)) }
            return
        }
        let (job, bytes) = try await client.decoded(JobSummary.self, answer)
        if jobs.json { return try StandardOutput.write(bytes + [UInt8(ascii: "\n")]) }
        try StandardOutput.write(line: sentence(id, job))
    }
}

struct CancelJobs: JobsAction {
    static let configuration = CommandConfiguration(
        commandName: "cancel", abstract: "Cancel jobs; those that have ended stay as they are."
    )

    @OptionGroup
    var jobs: JobsArguments

    func act(on path: String, _ client: GatewayClient) async throws -> GatewayClient.Answer {
        try await client.post(path + "/cancel")
    }

    func sentence(_ id: String, _ job: JobSummary?) -> String {
        let status = job?.status ?? ""
        return status == "CANCELLED" ? "\(id) cancelled" : "\(id) had already ended: \(status.visible(limit: 20))"
    }
}

struct RetryJobs: JobsAction {
    static let configuration = CommandConfiguration(
        commandName: "retry",
        abstract: "Submit again the inputs of jobs that ended in ERROR or were cancelled; print the new jobs' ids."
    )

    @OptionGroup
    var jobs: JobsArguments

    func act(on path: String, _ client: GatewayClient) async throws -> GatewayClient.Answer {
        try await client.post(path + "/retry")
    }

    func sentence(_ id: String, _ job: JobSummary?) -> String {
        (job?.id ?? "").visible(limit: 40)
    }
}

struct DeleteJobs: JobsAction {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract: "Delete jobs that have ended, with their outputs and events.",
        discussion: "With --json nothing is printed: the gateway's answer is empty."
    )

    @OptionGroup
    var jobs: JobsArguments

    func act(on path: String, _ client: GatewayClient) async throws -> GatewayClient.Answer {
        try await client.delete(path)
    }

    func sentence(_ id: String, _ job: JobSummary?) -> String {
        "\(id) deleted"
    }
}

struct PrintOutput: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "output",
        abstract: "Print the output of a job.",
        discussion: "Byte for byte in a pipe or a file. On a terminal only text is printed, control characters escaped."
    )

    @Argument(help: "The job's id.", completion: Completions.jobs)
    var id: String

    @OptionGroup
    var gateway: GatewayOptions

    func perform() async throws {
        let path = try JobPath.record(id) + "/output"
        try await gateway.withGateway { client in
            let answer = try await client.get(path)
            guard StandardOutput.isTerminal else {
                return try await client.read(answer) { bytes in
                    try StandardOutput.write(bytes)
                    return true
                }
            }
            if let problem = try await OutputText.show(answer, client) {
                throw ClientError(.usage, problem + "; write it to a file with >")
            }
        }
    }
}
