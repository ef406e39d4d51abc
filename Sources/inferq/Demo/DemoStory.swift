import Foundation
import Glibc

/// What a demo shows: a job whose gateway is killed in the middle of the answer.
struct DemoStory {
    let gateway: DemoGateway
    let client: GatewayClient
    let folder: DemoFolder

    /// As one would type it, with this program for `inferq`.
    private static let prompt = #"{"prompt": "What does the box do?"}"#
    /// For each step.
    private static let patience = Duration.seconds(60)

    private struct State: Decodable, Sendable {
        struct Stream: Decodable, Sendable {
            var bytes: Int
        }

        var status: String
        var stream: Stream?
    }

    /// - Throws: ``ClientError``.
    func run() async throws {
        try show("inferq submit demo '\(Self.prompt)'")
        let submit = try await command(["submit", "demo", Self.prompt], output: .file(folder.file("id")))
        try await expectSuccess(of: submit, "submit")
        guard let id = folder.lines(of: "id").first else {
            throw ClientError(.host, "the demo's submit printed no id")
        }
        try StandardOutput.write(line: id)
        try show("inferq watch --output \(id)")
        let watch = try await command(["watch", "--output", id])
        async let watched = watch.ending()
        try await half(of: id)
        guard let process = gateway.process else { throw ClientError(.host, "the demo's gateway is not running") }
        try StandardOutput.write(line: "")
        try show("kill -9 \(process)")
        kill(process, SIGKILL)
        guard await watched == .exited(0) else { throw Self.failure("watch --output") }
        // On a terminal the command has ended its line itself.
        if !StandardOutput.isTerminal { try StandardOutput.write(line: "") }
        try show("inferq watch \(id)")
        try await expectSuccess(of: command(["watch", id]), "watch")
    }

    /// Returns when half of the answer is on disk.
    private func half(of id: String) async throws {
        let half = DemoModelServer.words.reduce(0) { $0 + $1.utf8.count } / 2
        let deadline = ContinuousClock.now + Self.patience
        while ContinuousClock.now < deadline {
            let state = try await client.decoded(State.self, client.get("/v1/inference/\(id)")).value
            if state.stream?.bytes ?? 0 >= half { return }
            guard ["PENDING", "RUNNING"].contains(state.status) else { break }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw ClientError(.host, "the demo's answer did not come within \(Self.patience.components.seconds) s")
    }

    private func command(
        _ arguments: [String], output: ChildProcess.Output = .inherited
    ) async throws -> ChildProcess {
        do {
            return try await DemoProgram.start(arguments, gateway: gateway.url, output: output)
        } catch let error as ChildProcess.Failure {
            throw ClientError(.host, "inferq \(arguments[0]) cannot be run (\(error.reason))")
        }
    }

    private func expectSuccess(of process: ChildProcess, _ name: String) async throws {
        guard await process.ending() == .exited(0) else { throw Self.failure(name) }
    }

    private static func failure(_ name: String) -> ClientError {
        ClientError(.host, "inferq \(name) failed in the demo; its output is above")
    }

    private func show(_ command: String) throws {
        try StandardOutput.write(line: Screen().painted("$ \(command)", .bold))
    }
}

extension DemoStory {
    /// Follows what others do, until the task is cancelled.
    func leaveToReader() async throws {
        guard let process = gateway.process else { return }
        try StandardOutput.write(
            line: """

                It goes on running. In another terminal:

                  export INFERQ_URL=\(gateway.url)
                  inferq submit demo '\(Self.prompt)' --watch
                  kill -9 \(process)

                A browser shows the same at \(gateway.url)/, and OpenAI's clients can call \(gateway.url)/v1.
                Ctrl-C ends it, and nothing is left behind.

                """)
        let follow = try await command(["jobs", "--follow"])
        _ = await follow.ending()
    }
}
