import Synchronization

/// What happened, in the order in which it happened, told by any thread.
final class Record<Entry: Sendable>: Sendable {
    private let kept = Mutex<[Entry]>([])

    func add(_ entry: Entry) {
        kept.withLock { $0.append(entry) }
    }

    var entries: [Entry] { kept.withLock { $0 } }
}
