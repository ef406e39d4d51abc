import Foundation
import InferqCore

/// One attempt of one job of one gateway, as both sides name it.
struct AttemptName: Sendable, Hashable {
    /// The gateway's instance id.
    let gateway: String
    let job: UUIDv7
    let lease: Job.Lease

    init(gateway: String, job: UUIDv7, lease: Job.Lease) {
        self.gateway = gateway
        self.job = job
        self.lease = lease
    }

    /// `<job>.<lease>`: for heartbeats, which name the gateway apart.
    var short: String { "\(job).\(lease.number)" }

    init?(gateway: String, short: String) {
        let parts = short.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let job = UUIDv7(parts[0]), let lease = Int64(parts[1]) else { return nil }
        self.init(gateway: gateway, job: job, lease: Job.Lease(number: lease))
    }
}

/// What a worker tells a gateway, through the gateway's stream.
enum WorkerWord: Sendable, Equatable {
    /// May I? Asked before the model server is called.
    case take(entry: String, model: String)
    /// It was read and will not be asked for: offer it anew.
    case giveBack(entry: String, model: String)
    case answered(Reply.Answer)
    case failed(Failure, retryAfter: Duration?)
    /// The worker stops before the attempt has ended.
    case interrupted(reason: String)
}

extension WorkerWord {
    /// The command that says it.
    func command(_ keys: RedisKeys, _ name: AttemptName, worker: String) -> RedisCommand {
        var command = RedisCommand(
            "XADD", keys.inbox(ofGateway: name.gateway), "*", "worker", worker, "job", name.job.description,
            "lease", String(name.lease.number)
        )
        func add(_ fields: KeyValuePairs<String, String?>) {
            for (name, value) in fields {
                guard let value else { continue }
                command.add(name)
                command.add(value)
            }
        }
        switch self {
        case .take(let entry, let model): add(["word": "take", "entry": entry, "model": model])
        case .giveBack(let entry, let model): add(["word": "give-back", "entry": entry, "model": model])
        case .answered(let answer):
            add(["word": "answered", "type": answer.contentType, "encoding": answer.contentEncoding])
            command.add("body")
            command.add(answer.bytes)
        case .failed(let failure, let retryAfter):
            add([
                "word": "failed", "code": failure.code.rawValue, "message": failure.message,
                "retryable": failure.isRetryable ? "1" : "0", "status": failure.status.map { String($0) },
                "answer": failure.body, "retry_after_ms": retryAfter.map { String($0.milliseconds) },
            ])
        case .interrupted(let reason): add(["word": "interrupted", "reason": reason])
        }
        return command
    }

    /// Whether an entry tells how an attempt ended.
    static func isOutcome(_ entry: StreamEntry) -> Bool {
        ["answered", "failed", "interrupted"].contains(entry.text("word"))
    }

    /// Nil for what no worker of this version has written.
    init?(_ entry: StreamEntry) {
        switch entry.text("word") {
        case "take", "give-back":
            guard let id = entry.text("entry"), let model = entry.text("model") else { return nil }
            self = entry.text("word") == "take" ? .take(entry: id, model: model) : .giveBack(entry: id, model: model)
        case "answered":
            guard let bytes = entry.bytes("body") else { return nil }
            self = .answered(
                Reply.Answer(bytes, contentType: entry.text("type"), contentEncoding: entry.text("encoding")))
        case "failed":
            guard let code = entry.text("code").flatMap(Failure.Code.init), let message = entry.text("message") else {
                return nil
            }
            let failure = Failure(
                code, message, isRetryable: entry.text("retryable") == "1", status: entry.integer("status"),
                body: entry.text("answer")
            )
            self = .failed(failure, retryAfter: entry.integer("retry_after_ms").map { .milliseconds($0) })
        case "interrupted": self = .interrupted(reason: entry.text("reason") ?? "the worker stopped")
        default: return nil
        }
    }
}

/// What a gateway tells a worker, through the worker's stream.
enum GatewayWord: String, Sendable {
    /// RUNNING is on disk: call the model server.
    case go
    /// Somebody else has it, or nobody wants it any more.
    case no
    /// The attempt is over: drop the call, and what has become of it.
    case stop
    /// What was brought is stored, or came too late: forget it.
    case done

    func command(_ keys: RedisKeys, _ name: AttemptName, worker: String) -> RedisCommand {
        RedisCommand(
            "XADD", keys.inbox(ofWorker: worker), "MAXLEN", "~", String(Self.inboxLimit), "*", "word", rawValue,
            "gateway", name.gateway, "job", name.job.description, "lease", String(name.lease.number)
        )
    }

    /// Words that may wait for one worker: many times the slots that one has. What is cut off, its worker asks for anew.
    private static let inboxLimit = 10_000
}

extension AttemptName {
    /// The attempt that an entry of either stream is about.
    init?(_ entry: StreamEntry, gateway: String) {
        guard let job = entry.text("job").flatMap({ UUIDv7($0) }), let lease = entry.integer("lease") else {
            return nil
        }
        self.init(gateway: gateway, job: job, lease: Job.Lease(number: Int64(lease)))
    }
}

/// What a worker tells of itself again and again.
struct WorkerHeartbeat: Codable, Sendable, Equatable {
    let name: String
    let host: String
    /// By model.
    let slots: [String: Int]
    /// Attempts that run, of all gateways; by model.
    let busy: [String: Int]
    /// By the instance id of a gateway: ``AttemptName/short``.
    let attempts: [String: [String]]
}

/// What a gateway tells of itself again and again.
struct GatewayHeartbeat: Codable, Sendable, Equatable {
    /// How workers and clients reach it.
    let url: String
    let models: [String]
    /// Of the process: two with one instance id are a store and its copy.
    let session: String
}

/// Heartbeats as text. What cannot be read is nobody's heartbeat.
enum HeartbeatText {
    static func text(_ heartbeat: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Strings and numbers always have a form in JSON.
        return (try? encoder.encode(heartbeat)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    static func read<Heartbeat: Decodable>(_ type: Heartbeat.Type, _ bytes: [UInt8]) -> Heartbeat? {
        // Another version's, or another program's: as if it were not there.
        try? JSONDecoder().decode(type, from: Data(bytes))
    }
}
