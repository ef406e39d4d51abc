import ArgumentParser
import Glibc
import UnixSignals

/// `inferq demo`: a gateway with a model server of its own, to be looked at.
struct DemoCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Show a job that outlives a killed gateway, on a gateway and a model server of its own.",
        discussion: """
            Needs no network, no configuration and no privileges: all of it runs on free ports of 127.0.0.1, and what it \
            writes is in a folder of its own in TMPDIR. Ctrl-C ends it and removes that. Exit codes: 0 it was ended, \
            71 this host did not let it run.
            """
    )

    @Flag(help: "End after the first job.")
    var once = false

    func perform() async throws {
        // Before there is anything that would stay behind.
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
        let folder = try DemoFolder()
        defer { folder.remove() }
        let server = try await DemoModelServer.listening()
        let gateway = try DemoGateway(in: folder, modelServer: server.url)
        try await withThrowingTaskGroup { group in
            group.addTask {
                for await _ in signals { return }
            }
            group.addTask { try await server.run() }
            group.addTask { try await gateway.run(restarted: tell) }
            group.addTask { try await play(gateway, folder) }
            // Whatever ends first ends the others.
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private func play(_ gateway: DemoGateway, _ folder: DemoFolder) async throws {
        let addresses = try GatewayAddress.candidates(flag: gateway.url, variable: nil)
        try await GatewayClient.withClient(of: addresses, GatewayClient.Credentials()) { client in
            // The socket is there before the gateway is: the answer comes when it listens.
            _ = try await client.bytes(of: client.get("/readyz"))
            guard let process = gateway.process else { return }
            let place = "\(gateway.url), process \(process)"
            try StandardOutput.write(
                line: "A gateway listens at \(place). Its model server writes for three seconds.\n")
            let story = DemoStory(gateway: gateway, client: client, folder: folder)
            try await story.run()
            if !once { try await story.leaveToReader() }
        }
    }

    private func tell(_ signal: CInt, _ next: pid_t) {
        let line = "The gateway was killed by signal \(signal) and runs again, as process \(next)."
        // What cannot be written is of no use to anybody.
        try? StandardOutput.write(line: Screen().painted(line, .faint))
    }
}
