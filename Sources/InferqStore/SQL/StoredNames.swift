import InferqCore
import Synchronization

/// The names that small numbers stand for in the store's rows.
struct StoredNames: Sendable {
    let models = ModelNames()
    let clients = ClientNames()
}

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

/// The clients that jobs belong to, by name and by number. A client gets its row along with its first job.
///
/// A number is given out before that row is written, and never to a second name, even if the transaction is rolled back:
/// so the client of a row that was committed is always known. Clients are never removed from the store.
final class ClientNames: Sendable {
    /// A client as a transaction needs it.
    struct Entry: Sendable {
        let id: Int64
        let name: String
        /// Whether its row is on disk.
        let isStored: Bool
    }

    private struct State {
        var ids: [String: Int64] = [:]
        var names: [Int64: String] = [:]
        /// Those whose rows are not on disk yet.
        var unstored: Set<Int64> = []
        var last = ClientNames.anonymous
    }

    /// The client of everyone in mode `open`; it is there from the first, and costs no look-up.
    static let anonymous: Int64 = 1

    private let state = Mutex(State())

    /// Takes over a row that was found.
    func add(_ name: String, id: Int64) {
        state.withLock { state in
            state.ids[name] = id
            state.names[id] = name
            state.last = max(state.last, id)
        }
    }

    /// Nil for one that has had no job.
    func id(of name: String) -> Int64? {
        name == ClientName.anonymous ? Self.anonymous : state.withLock { $0.ids[name] }
    }

    func name(of id: Int64) -> String? {
        id == Self.anonymous ? ClientName.anonymous : state.withLock { $0.names[id] }
    }

    /// The client with this name; one that is not known yet gets a number.
    func entry(of name: String) -> Entry {
        guard name != ClientName.anonymous else { return Entry(id: Self.anonymous, name: name, isStored: true) }
        return state.withLock { state in
            if let id = state.ids[name] { return Entry(id: id, name: name, isStored: !state.unstored.contains(id)) }
            state.last += 1
            state.ids[name] = state.last
            state.names[state.last] = name
            state.unstored.insert(state.last)
            return Entry(id: state.last, name: name, isStored: false)
        }
    }

    /// The row of a client is on disk.
    func stored(_ entry: Entry) {
        guard !entry.isStored else { return }
        _ = state.withLock { $0.unstored.remove(entry.id) }
    }
}
