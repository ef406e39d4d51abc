import InferqCore
import Synchronization

/// Which model servers have shown that they know responses, since the start.
final class ResponseServers: Sendable {
    private let known = Mutex<Set<String>>([])

    func have(_ model: ModelSettings) -> Bool {
        known.withLock { $0.contains(Self.key(model)) }
    }

    func note(_ model: ModelSettings) {
        _ = known.withLock { $0.insert(Self.key(model)) }
    }

    /// Another server may stand behind the same name after a reload.
    private static func key(_ model: ModelSettings) -> String { "\(model.name) \(model.url)" }
}
