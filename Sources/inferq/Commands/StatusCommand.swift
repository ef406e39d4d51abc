import ArgumentParser
import Glibc
import InferqCore
import InferqQueue

/// `inferq status`: how the gateway is, on one screen.
struct StatusCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show the gateway's status on one screen.",
        discussion: "Exit codes: 0 it is ready, 69 it is not ready or not reachable."
    )

    @Flag(help: "Refresh it every two seconds, until Ctrl-C; with --json every line is a JSON object.")
    var watch = false

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup
    var gateway: GatewayOptions

    private struct Status: Decodable, Sendable {
        struct Store: Decodable, Sendable {
            var database: Int
            var wal: Int
            var blobs: Int
            var blobBytes: Int
            var free: Int

            enum CodingKeys: String, CodingKey {
                case blobs
                case database = "database_bytes"
                case wal = "wal_bytes"
                case blobBytes = "blob_bytes"
                case free = "free_bytes"
            }
        }

        struct Worker: Decodable, Sendable {
            var name: String
            var host: String
            var models: [String]
            var slots: Int
            var jobs: [String]
        }

        var version: String
        var broker: String
        var listeners: Int
        var models: [ModelSummary]
        var workers: [Worker]
        var store: Store
    }

    /// Between two looks.
    private static let pause = Duration.seconds(2)

    func perform() async throws {
        let terminal = Terminal(STDOUT_FILENO)
        if watch, !json, terminal == nil {
            throw ClientError(.usage, "--watch draws on a terminal, and standard output is not one; add --json")
        }
        try await gateway.withGateway { client in
            guard watch else {
                if let problem = try await show(client) { throw problem.exitCode }
                return
            }
            // An address at which nothing ever answers is a mistake, not an outage.
            _ = try await client.bytes(of: client.get("/livez"))
            var isAway = false
            while true {
                if json { isAway = try await tell(client, wasAway: isAway) } else { await draw(client, on: terminal) }
                try await Task.sleep(for: Self.pause)
            }
        }
    }

    /// Once: on standard output, with what is wrong on standard error.
    ///
    /// - Returns: What is wrong.
    private func show(_ client: GatewayClient) async throws -> ClientError? {
        let problem = try await Self.problem(of: client)
        if let problem { StandardError.write("inferq: not ready: \(problem.sentence.visible())") }
        let (status, bytes) = try await client.decoded(Status.self, client.get("/v1/status"))
        if json {
            try StandardOutput.write(bytes + [UInt8(ascii: "\n")])
        } else {
            for line in Self.lines(status, at: client, isReady: problem == nil) { try StandardOutput.write(line: line) }
        }
        return problem
    }

    /// As ``show(_:)``, and a gateway that goes away is a line on standard error.
    ///
    /// - Returns: Whether it is away.
    private func tell(_ client: GatewayClient, wasAway: Bool) async throws -> Bool {
        do {
            _ = try await show(client)
            return false
        } catch let error as ClientError where error.isTemporary {
            if !wasAway { StandardError.write("inferq: \(error.sentence.visible())") }
            return true
        }
    }

    /// On the whole terminal. A gateway that is away is one line there.
    private func draw(_ client: GatewayClient, on terminal: Terminal?) async {
        var lines: [String]
        do {
            let problem = try await Self.problem(of: client)
            let status = try await client.decoded(Status.self, client.get("/v1/status")).value
            lines = Self.lines(status, at: client, isReady: problem == nil)
            if let problem { lines.insert("gateway  not ready: \(problem.sentence.visible())", at: 0) }
        } catch {
            let sentence = (error as? ClientError)?.sentence ?? "\(error)"
            lines = ["gateway  " + sentence.visible()]
        }
        lines.insert("\(Timestamp.now.localTime)  every 2 s; Ctrl-C ends it", at: 0)
        terminal?.draw(lines)
    }

    private static func table(_ workers: [Status.Worker]) -> Table {
        var table = Table(columns: [
            Table.Column(title: "WORKER", isElastic: true), Table.Column(title: "HOST", isElastic: true, rank: 2),
            Table.Column(title: "MODELS", isElastic: true, rank: 1), Table.Column(title: "SLOTS", isNumber: true),
            Table.Column(title: "JOBS", isNumber: true),
        ])
        table.rows = workers.map { worker in
            [
                Table.Cell(worker.name), Table.Cell(worker.host), Table.Cell(worker.models.joined(separator: ", ")),
                Table.Cell("\(worker.slots)"), Table.Cell("\(worker.jobs.count)"),
            ]
        }
        return table
    }

    /// Why the gateway is not ready; nil if it is.
    private static func problem(of client: GatewayClient) async throws -> ClientError? {
        do {
            _ = try await client.bytes(of: client.get("/readyz"))
            return nil
        } catch let error as ClientError where error.status == 503 {
            return error
        }
    }

    private static func lines(_ status: Status, at client: GatewayClient, isReady: Bool) -> [String] {
        let screen = Screen()
        let store = status.store
        var size = "database \(Amount.bytes(store.database)), log \(Amount.bytes(store.wal))"
        if store.blobs > 0 { size += ", \(store.blobs) blobs \(Amount.bytes(store.blobBytes))" }
        var lines = isReady ? ["gateway  \(screen.painted("ready", .green)) at \(client.address)"] : []
        let facts = [
            ("version", status.version), ("broker", status.broker), ("streams", "\(status.listeners)"),
            ("store", "\(size), \(Amount.bytes(store.free)) free"),
        ]
        for (name, text) in facts {
            lines.append(name + String(repeating: " ", count: 9 - name.count) + text.visible(limit: 400))
        }
        guard !status.models.isEmpty else { return lines + ["models   none is configured"] }
        lines += [""] + screen.lines(of: ModelSummary.table(status.models))
        if !status.workers.isEmpty { lines += [""] + screen.lines(of: table(status.workers)) }
        return lines
    }
}
