import InferqCore

/// The part of a job's record that people are shown in lists.
struct JobSummary: Decodable, Sendable {
    struct Queue: Decodable, Sendable {
        var ahead: Int
    }

    /// How a client called the model server in its own language.
    struct Call: Decodable, Sendable {
        var method: String
        var target: String
        var answerStatus: Int?

        enum CodingKeys: String, CodingKey {
            case method, target
            case answerStatus = "answer_status"
        }

        var text: String {
            "\(method) \(target)" + (answerStatus.map { " \($0)" } ?? "")
        }
    }

    struct Failure: Decodable, Sendable {
        var code: String
        var message: String
        var attempt: Int?
    }

    var id: String
    var eventID: String
    var model: String
    var status: String
    var attempt: Int
    var maxAttempts: Int
    var priority: Int
    var createdAt: String
    var runAt: String?
    var startedAt: String?
    var finishedAt: String?
    var queue: Queue?
    var retryOf: String?
    var call: Call?
    var error: Failure?

    enum CodingKeys: String, CodingKey {
        case id, model, status, attempt, priority, queue, call, error
        case eventID = "event_id"
        case maxAttempts = "max_attempts"
        case createdAt = "created_at"
        case runAt = "run_at"
        case startedAt = "started_at"
        case finishedAt = "finished_at"
        case retryOf = "retry_of"
    }

    var color: Table.Color? {
        switch status {
        case "COMPLETED": .green
        case "ERROR": .red
        case "CANCELLED": .yellow
        default: nil
        }
    }

    /// What there is to say of its state.
    func note(now: Timestamp) -> String {
        if let error { return "\(error.code): \(error.message)" }
        if let queue { return queue.ahead == 0 ? "next" : "\(queue.ahead) ahead" }
        if status == "PENDING", let due = runAt.flatMap(Timestamp.init(rfc3339:)), due > now {
            return "due in \(Amount.age(Double((due - now).milliseconds) / 1000))"
        }
        return ""
    }

    static func age(_ time: String?, now: Timestamp) -> String {
        guard let time = time.flatMap(Timestamp.init(rfc3339:)) else { return "" }
        return Amount.age(Double((now - time).milliseconds) / 1000)
    }

    static func table(_ jobs: [JobSummary], now: Timestamp) -> Table {
        var table = Table(columns: [
            .init(title: "ID"), .init(title: "STATUS"), .init(title: "MODEL", rank: 1),
            .init(title: "AGE", isNumber: true, rank: 2), .init(title: "ATTEMPT", isNumber: true, rank: 3),
            .init(title: "NOTE", isElastic: true, rank: 4),
        ])
        table.rows = jobs.map { job in
            [
                .init(job.id), .init(job.status, job.color), .init(job.model), .init(age(job.createdAt, now: now)),
                .init("\(job.attempt)/\(job.maxAttempts)"),
                .init([job.call?.text ?? "", job.note(now: now)].filter { !$0.isEmpty }.joined(separator: "  ")),
            ]
        }
        return table
    }
}
