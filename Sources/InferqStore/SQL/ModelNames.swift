import Synchronization

/// The models that the store knows, by name and by the small number that stands for a name in its rows.
///
/// Also those that are no longer configured and still have jobs. Models are never removed from the store.
final class ModelNames: Sendable {
    private struct State {
        var ids: [String: Int64] = [:]
        var names: [Int64: String] = [:]
    }

    private let state = Mutex(State())

    func add(_ name: String, id: Int64) {
        state.withLock {
            $0.ids[name] = id
            $0.names[id] = name
        }
    }

    func id(of name: String) -> Int64? {
        state.withLock { $0.ids[name] }
    }

    func name(of id: Int64) -> String? {
        state.withLock { $0.names[id] }
    }

    var all: [(name: String, id: Int64)] {
        state.withLock { state in state.ids.map { ($0.key, $0.value) }.sorted { $0.0 < $1.0 } }
    }
}
