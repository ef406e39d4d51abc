import InferqQueue
import Synchronization

/// The table of calls of the models that are configured at this moment; rebuilt when they change.
final class CurrentCallTable: Sendable {
    private struct Made: Sendable {
        let generation: Int
        let table: CallTable
    }

    private let queue: JobQueue
    private let made = Mutex<Made?>(nil)

    init(_ queue: JobQueue) {
        self.queue = queue
    }

    var current: CallTable {
        // Read first: models that change meanwhile make the table old at once.
        let generation = queue.generation
        return made.withLock { made in
            if let made, made.generation == generation { return made.table }
            let table = CallTable(queue.models)
            made = Made(generation: generation, table: table)
            return table
        }
    }
}
