import InferqCore

/// The list of models.
struct ModelPage: Decodable, Sendable {
    var results: [ModelSummary]
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
