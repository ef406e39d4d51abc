import GRDB
import Synchronization

/// Lets concurrent short reads share one snapshot and one change of threads.
///
/// A read costs about twenty microseconds, and to get it onto a database thread and back costs more than that. So reads
/// that come while others run are done together in the next round. A round begins its transaction after it has taken
/// its reads, so each sees every commit that was acknowledged before it was asked for.
final class GroupRead: Sendable {
    private struct Operation: Sendable {
        let run: @Sendable (Database) -> Void
        let fail: @Sendable (any Error) -> Void
    }

    private struct State {
        var waiting: [Operation] = []
        var lanes = 0
    }

    private let pool: DatabasePool
    private let lanes: Int
    private let state = Mutex(State())

    /// Reads of one round: so few that the first one does not wait long for the last.
    private static let roundLimit = 32

    /// - Parameter lanes: rounds that may run beside each other, each on a connection of its own.
    init(pool: DatabasePool, lanes: Int) {
        self.pool = pool
        self.lanes = lanes
    }

    /// Runs a short read. Long ones (lists, scans) go to the pool itself, so that they hold no one up.
    func perform<Value: Sendable>(_ read: @escaping @Sendable (Database) throws -> Value) async throws -> Value {
        // proof: an operation is either run or fails, and leaves the list with that.
        try await withUnsafeThrowingContinuation { continuation in
            enqueue(
                Operation(
                    run: { db in
                        continuation.resume(with: Result { try read(db) }.mapError { StoreError.ofRead($0) })
                    },
                    fail: { continuation.resume(throwing: StoreError.ofRead($0)) }
                )
            )
        }
    }

    private func enqueue(_ operation: Operation) {
        let mustStart = state.withLock { state in
            state.waiting.append(operation)
            // One lane is enough until it falls behind.
            guard state.lanes == 0 || (state.lanes < lanes && state.waiting.count > Self.roundLimit) else {
                return false
            }
            state.lanes += 1
            return true
        }
        guard mustStart else { return }
        pool.asyncUnsafeRead { result in
            switch result {
            case .success(let db): self.drain(db)
            case .failure(let error): self.abandon(error)
            }
        }
    }

    private func drain(_ db: Database) {
        while true {
            let round = state.withLock { state -> [Operation] in
                let round = Array(state.waiting.prefix(Self.roundLimit))
                state.waiting.removeFirst(round.count)
                if round.isEmpty { state.lanes -= 1 }
                return round
            }
            guard !round.isEmpty else { return }
            do {
                try db.beginReading()
            } catch {
                for operation in round { operation.fail(error) }
                continue
            }
            for operation in round { operation.run(db) }
            do {
                try db.endTransaction()
            } catch {
                // Nothing was changed, and every read has its result; the next round begins again.
                rollBack(db)
            }
        }
    }

    private func rollBack(_ db: Database) {
        guard db.isInsideTransaction else { return }
        do {
            try db.rollback()
        } catch {
            // Then SQLite has done it by itself.
        }
    }

    private func abandon(_ error: any Error) {
        let waiting = state.withLock { state -> [Operation] in
            state.lanes -= 1
            guard state.lanes == 0 else { return [] }
            defer { state.waiting = [] }
            return state.waiting
        }
        for operation in waiting { operation.fail(error) }
    }
}
