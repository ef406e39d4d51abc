import ArgumentParser
import InferqCore
import InferqQueue

/// `inferq status`: how the gateway is, on one screen.
struct StatusCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show on one screen how the gateway is.",
        discussion: "Exit codes: 0 it is ready, 69 it is not ready or not reachable."
    )

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

    func perform() async throws {
        try await gateway.withGateway { client in
            let problem = try await Self.problem(of: client)
            if let problem { StandardError.write("inferq: not ready: \(problem.sentence.visible())") }
            let (status, bytes) = try await client.decoded(Status.self, client.get("/v1/status"))
            if json {
                try StandardOutput.write(bytes + [UInt8(ascii: "\n")])
            } else {
                if problem == nil {
                    let word = Screen().painted("ready", .green)
                    try StandardOutput.write(line: "gateway  \(word) at \(client.address)")
                }
                try show(status)
            }
            if let problem { throw problem.exitCode }
        }
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

    private func show(_ status: Status) throws {
        let store = status.store
        var size = "database \(Amount.bytes(store.database)), log \(Amount.bytes(store.wal))"
        if store.blobs > 0 { size += ", \(store.blobs) blobs \(Amount.bytes(store.blobBytes))" }
        let lines = [
            ("version", status.version), ("broker", status.broker), ("streams", "\(status.listeners)"),
            ("store", "\(size), \(Amount.bytes(store.free)) free"),
        ]
        for (name, text) in lines {
            let padded = name + String(repeating: " ", count: 9 - name.count)
            try StandardOutput.write(line: padded + text.visible(limit: 400))
        }
        guard !status.models.isEmpty else { return try StandardOutput.write(line: "models   none is configured") }
        try StandardOutput.write(line: "")
        try Screen().write(ModelSummary.table(status.models))
        guard !status.workers.isEmpty else { return }
        try StandardOutput.write(line: "")
        try Screen().write(Self.table(status.workers))
    }
}
