import Foundation
import InferqCore
import InferqQueue

/// What a worker publishes at regular intervals.
struct WorkerHeartbeat: Codable, Sendable, Equatable, Heartbeat {
    let name: String
    let host: String
    /// By model.
    let slots: [String: Int]
    /// Attempts that run, of all gateways; by model.
    let busy: [String: Int]
    /// By the instance id of a gateway: ``AttemptName/short``.
    let attempts: [String: [String]]
    /// The next one comes within so many milliseconds.
    let interval: Int
    /// Grows with each: one that is in Redis may be older than what it is compared with.
    let beat: Int
    /// Of the kernel on its host: another one means that the machine went down.
    let boot: String
    /// Model servers that take no calls, by model.
    var away: [String: Away]?

    /// How a model server is that takes no calls.
    struct Away: Codable, Sendable, Equatable {
        let state: String
        /// Milliseconds since 1970.
        let since: Int64
        let reason: String
        let at: Int64

        init(_ summary: Availability.Summary) {
            state = summary.state.rawValue
            since = summary.since.milliseconds
            reason = String(summary.trouble?.text.prefix(Self.reasonLimit) ?? "")
            at = summary.trouble?.at.milliseconds ?? summary.since.milliseconds
        }

        /// - Parameter worker: its name, which goes before the reason.
        func summary(of worker: String) -> Availability.Summary {
            Availability.Summary(
                state: Availability.State(rawValue: state) ?? .down,
                since: Timestamp(milliseconds: since),
                trouble: Availability.Trouble(text: "worker \(worker): \(reason)", at: Timestamp(milliseconds: at))
            )
        }

        var isPlausible: Bool {
            Availability.State(rawValue: state) != nil && reason.utf8.count <= 4 * Self.reasonLimit
                && [since, at].allSatisfy { Self.moments.contains($0) }
        }

        /// A sentence.
        private static let reasonLimit = 500
        /// From 1970 to 9999.
        private static let moments: ClosedRange<Int64> = 0...253_402_300_799_999
    }

    static let modelLimit = 4096

    var isPlausible: Bool {
        PlainText.isPlain(name) && PlainText.isPlain(host) && PlainText.isPlain(boot, upTo: 128)
            && Self.intervals.contains(interval) && beat >= 0
            && [slots, busy].allSatisfy { counts in
                counts.count <= Self.modelLimit
                    && counts.allSatisfy { Self.isModel($0) && (0...Self.slotLimit).contains($1) }
            }
            && attempts.keys.allSatisfy { InstanceID($0) != nil }
            && (away ?? [:]).allSatisfy { Self.isModel($0) && $1.isPlausible }
    }

    /// As many as the configuration allows for one model.
    private static let slotLimit = 4096
}

/// What a gateway publishes at regular intervals.
struct GatewayHeartbeat: Codable, Sendable, Equatable, Heartbeat {
    /// How workers and clients reach it.
    let url: String
    let models: [String]
    /// Of the process: two with one instance id are a store and its copy.
    let session: String
    /// The age in milliseconds at which the last heartbeat of a worker is too old for this gateway.
    let patience: Int

    var isPlausible: Bool {
        (url.isEmpty || PlainText.isURL(url)) && PlainText.isPlain(session, upTo: 128)
            && Self.intervals.contains(patience)
            && models.count <= WorkerHeartbeat.modelLimit && models.allSatisfy(Self.isModel)
    }
}

extension WorkerHeartbeat {
    /// Whether a gateway that waits for `patience` milliseconds can tell that this worker lives: two of its heartbeats
    /// must fit in.
    func fits(_ patience: Int) -> Bool { interval <= patience / 2 }
}

/// A heartbeat as it is in Redis.
protocol Heartbeat: Codable, Sendable {
    /// Whether a process of this version can have written it. Anyone who reads it counts on that.
    var isPlausible: Bool { get }
}

extension Heartbeat {
    /// Milliseconds: what the settings allow, and no more.
    static var intervals: ClosedRange<Int> { 1...(3600 * 1000) }

    /// A model's name has at most 128 bytes.
    static func isModel(_ name: String) -> Bool { PlainText.isPlain(name, upTo: 128) }

    var text: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Strings and numbers always have a form in JSON.
        return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    /// Nil for what is not a heartbeat of this version.
    init?(_ bytes: [UInt8]) {
        // The scan first: it is linear whatever the bytes are, and the decoder is not.
        guard bytes.count <= HeartbeatLimits.bytes, (try? JSONScanner.validate(bytes, maxDepth: 4)) == .object,
            let told = try? JSONDecoder().decode(Self.self, from: Data(bytes)), told.isPlausible
        else { return nil }
        self = told
    }
}

private enum HeartbeatLimits {
    /// Of the largest heartbeat: 100,000 attempts are far more than one worker has.
    static let bytes = 8 << 20
}
