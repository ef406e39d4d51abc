package import InferqCore
import Synchronization

/// Who waits for the lines of batches to end.
package final class BatchBells: Sendable {
    private let bells = Mutex<[JobKey: Bell]>([:])

    package init() {}

    package func listen(to batch: JobKey, _ bell: Bell) {
        bells.withLock { $0[batch] = bell }
    }

    package func leave(_ batch: JobKey) {
        bells.withLock { $0[batch] = nil }
    }

    /// Something of a batch has changed.
    package func ring(_ batch: JobKey) {
        bells.withLock { $0[batch] }?.ring(.event)
    }
}
