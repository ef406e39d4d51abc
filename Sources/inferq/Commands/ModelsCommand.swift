import ArgumentParser
import InferqCore

/// `inferq models`: lists models, and stops and starts taking their jobs.
struct ModelsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "models",
        abstract: "List models; pause and resume them.",
        discussion: "With --json the output is JSON, one object a line, as the gateway gives it.",
        subcommands: [ListModels.self, PauseModel.self, ResumeModel.self],
        defaultSubcommand: ListModels.self
    )
}

/// A model as operators see it.
struct ModelSummary: Decodable, Sendable {
    var name: String
    var concurrency: Int
    var running: Int
    var pending: Int
    var oldest: Double?
    var state: String
    /// An RFC 3339 time; nil where it is not known.
    var since: String?
    var lastError: String?
    /// Jobs that ended per second; nil where the gateway does not say.
    var rate: Double?

    enum CodingKeys: String, CodingKey {
        case name, concurrency, running, pending, state, since
        case oldest = "oldest_pending_seconds"
        case lastError = "last_error"
        case rate = "ended_per_second"
    }

    private var color: Table.Color? {
        switch state {
        case "up": .green
        case "down": .red
        case "loading", "paused", "removed": .yellow
        default: nil
        }
    }

    /// How long it has been in its state.
    private var age: String? {
        since.flatMap { Timestamp(rfc3339: $0) }.map { Amount.age(Double((Timestamp.now - $0).milliseconds) / 1000) }
    }

    static func table(_ models: [ModelSummary]) -> Table {
        let hasRates = models.contains { $0.rate != nil }
        var table = Table(columns: [
            .init(title: "MODEL"), .init(title: "STATE"), .init(title: "FOR", isNumber: true, rank: 2),
            .init(title: "RUNNING", isNumber: true, rank: 1),
            .init(title: "PENDING", isNumber: true), .init(title: "OLDEST", isNumber: true, rank: 2),
        ])
        if hasRates { table.columns.append(.init(title: "RATE", isNumber: true, rank: 3)) }
        table.columns.append(.init(title: "LAST ERROR", isElastic: true, rank: 4))
        table.rows = models.map { model in
            var row: [Table.Cell] = [
                .init(model.name), .init(model.state, model.color), .init(model.age ?? "-"),
                .init("\(model.running)/\(model.concurrency)"),
                .init("\(model.pending)"), .init(model.oldest.map(Amount.age) ?? "-"),
            ]
            if hasRates { row.append(.init(model.rate.map(Amount.rate) ?? "-")) }
            row.append(.init(model.lastError ?? ""))
            return row
        }
        return table
    }
}

/// The list of models.
struct ModelPage: Decodable, Sendable {
    var results: [ModelSummary]
}

struct ListModels: ClientCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List models.")

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup
    var gateway: GatewayOptions

    func perform() async throws {
        try await gateway.withGateway { client in
            let (page, bytes) = try await client.decoded(ModelPage.self, client.get("/v1/models"))
            if json {
                guard let results = JSONScanner.members(of: bytes, in: bytes.indices).first else { return }
                for model in JSONScanner.elements(of: bytes, in: results.value) {
                    try StandardOutput.write(bytes[model] + [UInt8(ascii: "\n")])
                }
                return
            }
            guard !page.results.isEmpty else { return StandardError.write("no models: add one to the configuration") }
            try Screen().write(ModelSummary.table(page.results))
        }
    }
}

struct PauseModel: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "pause",
        abstract: "Stop taking jobs of a model; submits and running attempts continue. It lasts across restarts."
    )

    @OptionGroup
    var model: ModelArguments

    func perform() async throws {
        try await model.turn("pause")
    }
}

struct ResumeModel: ClientCommand {
    static let configuration = CommandConfiguration(commandName: "resume", abstract: "Take jobs of a model again.")

    @OptionGroup
    var model: ModelArguments

    func perform() async throws {
        try await model.turn("resume")
    }
}

/// Which model, and how its new state is printed.
struct ModelArguments: ParsableArguments {
    @Argument(help: "The name of the model.", completion: Completions.models)
    var name: String

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup
    var gateway: GatewayOptions

    fileprivate func turn(_ action: String) async throws {
        try await gateway.withGateway { client in
            let answer = try await client.post("/v1/models/\(name.percentEncoded)/\(action)")
            let (model, bytes) = try await client.decoded(ModelSummary.self, answer)
            if json { return try StandardOutput.write(bytes + [UInt8(ascii: "\n")]) }
            let waiting = "\(model.running) running, \(model.pending) pending"
            try StandardOutput.write(line: "\(model.name.visible()) is \(model.state.visible()): \(waiting)")
        }
    }
}
