import Crypto
import InferqCore
import InferqQueue
import NIOCore
import Synchronization

/// Takes in an answer that comes piece by piece: what has come is committed as pieces while more of it comes.
///
/// One task reads, another one commits, so the model server is read from while the disk is at work: at most 256 KiB ahead
/// of it. The first bytes are committed at once, later ones as soon as ``StreamSettings/flush`` has passed since the piece
/// before. Pieces end where frames do, unless the rest of a frame keeps them waiting for as long again.
final class AnswerStream: Sendable {
    private let form: StreamForm
    private let sink: PieceSink
    private let flush: Duration
    private let limit: Int
    private let limits: CallLimits
    private let loop: any EventLoop
    private let state: Mutex<PieceCutter>
    /// Rings for the committer: bytes have come, the time has come, or the end.
    private let bell = Bell()
    /// Rings for the reader: there is room.
    private let room = Bell()

    /// - Parameters:
    ///   - limit: bytes of the answer.
    ///   - loop: what timers run on.
    init(
        _ form: StreamForm, sink: PieceSink, flush: Duration, limit: Int, limits: CallLimits, loop: any EventLoop
    ) {
        self.form = form
        self.sink = sink
        self.flush = flush
        self.limit = limit
        self.limits = limits
        self.loop = loop
        state = Mutex(PieceCutter(form, flush: flush, now: .now))
    }

    /// The answer is larger than it may be.
    struct TooLarge: Error {}

    /// A piece could not be committed.
    struct NotStored: Error {
        let reason: any Error
    }

    /// Reads the answer to its end.
    func read(_ answer: ClientAnswer) async -> AnswerEnd {
        await withTaskGroup(of: (any Error)?.self) { group in
            group.addTask { await self.commit() }
            var failure: (any Error)?
            do {
                try await answer.forEachPart(take)
            } catch {
                failure = error
            }
            state.withLock { $0.isAtEnd = true }
            bell.ring(.event)
            // What could not be committed weighs more: nothing of it may be lost.
            if let problem = await group.next() ?? nil { failure = problem }
            return state.withLock { $0.end(failure) }
        }
    }

    // MARK: The reader

    private func take(_ part: ByteBuffer) async throws -> Bool {
        let effect = try state.withLock { state in
            guard state.byteCount + part.readableBytes <= limit else { throw TooLarge() }
            return state.append(part, now: .now)
        }
        if effect.isSignOfLife { limits.noteProgress() }
        if effect.wakesCommitter { bell.ring(.event) }
        // The committer rings when it has taken something, and when it is over.
        if state.withLock({ $0.isFull }) {
            limits.setHeld(true)
            defer { limits.setHeld(false) }
            while state.withLock({ $0.isFull }) {
                if await room.wait().contains(.stop) { throw CancellationError() }
            }
        }
        return state.withLock { $0.takesMore }
    }

    // MARK: The committer

    /// - Returns: why nothing can be committed any more; nil: all was that had to be.
    private func commit() async -> (any Error)? {
        while true {
            switch state.withLock({ $0.next(now: .now) }) {
            case .stop: return nil
            case .wait(let until): await wait(until: until)
            case .commit(let piece):
                do {
                    try await sink.commit(piece)
                } catch {
                    state.withLock { $0.isBroken = true }
                    room.ring(.event)
                    limits.giveUp()
                    return NotStored(reason: error)
                }
                room.ring(.event)
            }
        }
    }

    private func wait(until: ContinuousClock.Instant?) async {
        let timer = until.map { until in
            loop.scheduleTask(in: .nanoseconds(max(0, (until - .now).nanoseconds))) { [bell] in bell.ring(.deadline) }
        }
        _ = await bell.wait()
        timer?.cancel()
    }
}

extension Duration {
    fileprivate var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
