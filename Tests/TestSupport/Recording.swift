import Synchronization

/// What happened, in the order in which it happened, told by any thread.
package final class Recording<Entry: Sendable>: Sendable {
    private let kept = Mutex<[Entry]>([])

    package init() {}

    package func add(_ entry: Entry) {
        kept.withLock { $0.append(entry) }
    }

    package var entries: [Entry] { kept.withLock { $0 } }
}
