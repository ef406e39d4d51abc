package import InferqCore
import Synchronization

/// What must be known of answers that come piece by piece while they do.
package final class Streams: Sendable {
    private struct State {
        /// Of attempts that have begun to answer.
        var tails: [JobKey: StreamTail] = [:]
        /// Attempts of whose answers the client of a plain call has had bytes.
        var shown: [JobKey: Int] = [:]
    }

    package let metrics = PieceMetrics()
    private let state = Mutex(State())

    /// Answers that come in at this moment.
    package var runningCount: Int { state.withLock { $0.tails.count } }

    /// A piece of an attempt's answer is on disk. Called in commit order.
    func committed(_ piece: Piece, id: Int64, of run: PieceRun) {
        state.withLock { state in
            if state.tails[run.job]?.run != run { state.tails[run.job] = StreamTail(run) }
            state.tails[run.job]?.append(piece, id: id)
        }
    }

    /// The newest bytes of an answer from `byte` on; none where that is its end.
    ///
    /// - Returns: nil: they must be read, since the attempt is over, or the bytes are further back.
    package func stretch(of run: PieceRun, from byte: Int) -> StreamTail.Stretch? {
        state.withLock { state in
            guard let tail = state.tails[run.job], tail.run == run else { return nil }
            return tail.stretch(from: byte)
        }
    }

    /// The attempt of a job that has begun to answer, with the head of that answer; nil: none has, or it must be looked up.
    package func beginning(of job: JobKey) -> (run: PieceRun, head: StreamHead)? {
        state.withLock { state in
            guard let tail = state.tails[job], let head = tail.head else { return nil }
            return (tail.run, head)
        }
    }

    /// Whether this attempt still answers.
    package func isRunning(_ run: PieceRun) -> Bool {
        state.withLock { $0.tails[run.job]?.run == run }
    }

    /// The client of a plain call is about to get bytes of this attempt's answer.
    package func show(_ run: PieceRun) {
        state.withLock { $0.shown[run.job] = run.attempt }
    }

    /// As before ``show(_:)``: the attempt was over by then.
    package func unshow(_ run: PieceRun) {
        state.withLock { state in
            if state.shown[run.job] == run.attempt { state.shown[run.job] = nil }
        }
    }

    /// Whether the client of a plain call has had bytes of this attempt's answer.
    func isShown(_ run: PieceRun) -> Bool {
        state.withLock { $0.shown[run.job] == run.attempt }
    }

    /// The attempt of a job is over.
    func ended(_ job: JobKey) {
        state.withLock { state in
            state.tails[job] = nil
            state.shown[job] = nil
        }
    }
}

/// What has become of answers that came piece by piece since the start, for operators.
package final class PieceMetrics: Sendable {
    package let pieces = Counter()
    package let bytes = Counter()
    /// From the start of an attempt to the commit of the first piece of its answer.
    package let firstByte = Histogram.ofJobs()
    /// From the moment at which a piece was cut to its commit.
    package let commit = Histogram.ofSteps()
    /// Readers that were cut off, since they left what was sent unread.
    package let cutReaders = Counter()

    func committed(_ piece: Piece, of claim: Claim, in time: Duration) {
        pieces.add()
        bytes.add(piece.bytes.count)
        commit.observe(time.microseconds)
        if piece.number == 1 { firstByte.observe(Int((ContinuousClock.now - claim.since).milliseconds)) }
    }
}
