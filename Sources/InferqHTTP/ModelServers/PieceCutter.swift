import Crypto
import DequeModule
import InferqCore
import InferqQueue
import NIOCore

/// Cuts an answer that comes piece by piece into pieces: when, and where. A value without a clock.
struct PieceCutter {
    enum Step {
        case commit(Piece)
        /// Until then, or, if there is no time, until more has come.
        case wait(until: ContinuousClock.Instant?)
        /// The end has come; what is left is committed along with the outcome.
        case stop
    }

    /// What the next bytes have come to.
    struct Effect {
        /// Whether they count as one: pings do not.
        let isSignOfLife: Bool
        /// Whether the committer must look before it would.
        let wakesCommitter: Bool
    }

    /// Bytes that wait to be committed, past which no more is read. Three reads of 64 KiB may be between here and the
    /// socket.
    private static let aheadLimit = Piece.limit
    /// A frame that is not whole may keep the first piece waiting so long: an error must not be shown.
    private static let firstFrameTime = Duration.milliseconds(25)
    /// So long comments in front of the first frame are kept back.
    private static let commentTime = Duration.seconds(10)
    /// Bytes that are looked at between two looks for the end of a frame.
    private static let stride = 8 << 10

    /// Where the beats of all streams are counted from.
    private static let commonEpoch = ContinuousClock.now

    private let form: StreamForm
    private let flush: Duration
    private let epoch: ContinuousClock.Instant
    private let begin: ContinuousClock.Instant
    private var scanner: StreamScanner
    private var hash = SHA256()
    /// What has come and was not cut off yet.
    private var waiting: ArraySlice<UInt8> = []
    /// Bytes that were cut off.
    private var start = 0
    private var pieceCount = 0
    /// Ends of frames past what was cut off, in bytes of the answer: the last one of each ``stride`` that was looked at.
    private var frameEnds = Deque<Int>()
    /// When the first of the waiting bytes came, and the last.
    private var oldest: ContinuousClock.Instant
    private var newest: ContinuousClock.Instant
    private var lastCut: ContinuousClock.Instant
    /// When the committer looks again; nil: when it is woken.
    private var looksAt: ContinuousClock.Instant?
    /// All bytes, as long as they may be shown.
    private var kept: [UInt8]? = []
    var isAtEnd = false
    /// Nothing can be committed any more.
    var isBroken = false

    init(
        _ form: StreamForm, flush: Duration, epoch: ContinuousClock.Instant = Self.commonEpoch,
        now: ContinuousClock.Instant
    ) {
        self.epoch = epoch
        self.form = form
        self.flush = flush
        begin = now
        oldest = now
        newest = now
        lastCut = now - flush
        scanner = StreamScanner(framing: form.framing, mark: form.mark, findsErrors: form.findsErrors)
    }

    /// Of all that has come.
    var byteCount: Int { scanner.byteCount }
    /// Whether the reader must wait for the committer.
    var isFull: Bool {
        waiting.count >= Self.aheadLimit && (pieceCount > 0 || form.isStream) && !isBroken && !isPointless
    }
    /// Whether there is any use in more of the answer.
    var takesMore: Bool { !isBroken && !isPointless }
    /// Nothing of this answer will be shown: its first frame is an error.
    private var isPointless: Bool { pieceCount == 0 && scanner.beganWithError }

    // MARK: Reading

    mutating func append(_ part: ByteBuffer, now: ContinuousClock.Instant) -> Effect {
        let before = scanner.progress
        if waiting.isEmpty { oldest = now }
        newest = now
        part.withUnsafeReadableBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let some = rest.prefix(Self.stride)
                scanner.read(UnsafeRawBufferPointer(rebasing: some))
                noteFrameEnd()
                rest = rest.dropFirst(some.count)
            }
            waiting.append(contentsOf: bytes)
            keep(bytes)
        }
        return Effect(
            isSignOfLife: scanner.progress > before,
            wakesCommitter: looksAt == nil || waiting.count >= Piece.limit || pieceCount == 0)
    }

    private mutating func noteFrameEnd() {
        guard form.framing != .none, scanner.frameEnd > start, scanner.frameEnd > frameEnds.last ?? 0 else { return }
        frameEnds.append(scanner.frameEnd)
    }

    private mutating func keep(_ bytes: UnsafeRawBufferPointer) {
        guard kept != nil else { return }
        kept?.append(contentsOf: bytes)
        if let kept, kept.count > Payload.inlineLimit, !form.mayBeJSON(beginningWith: kept) { self.kept = nil }
    }

    // MARK: Cutting

    mutating func next(now: ContinuousClock.Instant) -> Step {
        let step = step(now: now)
        if case .wait(let until) = step { looksAt = until } else { looksAt = .some(now) }
        return step
    }

    private mutating func step(now: ContinuousClock.Instant) -> Step {
        if isBroken || isAtEnd && (waiting.count <= Piece.limit || isPointless || !form.isStream && pieceCount == 0) {
            return .stop
        }
        guard !waiting.isEmpty, !isPointless else { return .wait(until: nil) }
        if isAtEnd { return .commit(cut(whole: true, now: now)) }
        // Until then it may come whole all the same.
        if pieceCount == 0, !form.isStream, now < begin + StreamForm.patience {
            return .wait(until: begin + StreamForm.patience)
        }
        if waiting.count >= Piece.limit { return .commit(cut(whole: false, now: now)) }
        let hasFrame = !frameEnds.isEmpty
        // A server may send comments while it queues a call that it refuses in the end.
        if pieceCount == 0, form.framing == .events, scanner.progress == 0, now < begin + Self.commentTime {
            return .wait(until: begin + Self.commentTime)
        }
        if pieceCount == 0, form.framing != .none, !hasFrame {
            if scanner.mayBeginWithError { return .wait(until: nil) }
            let last = oldest + Self.firstFrameTime
            if now < last { return .wait(until: last) }
        }
        let due = nextBeat
        if now < due { return .wait(until: due) }
        if !hasFrame, form.framing != .none, pieceCount > 0 {
            let last = oldest + flush
            if now < last { return .wait(until: last) }
        }
        return .commit(cut(whole: false, now: now))
    }

    /// The first moment after the last piece at which all streams may commit: they share the sync of one transaction then. An
    /// answer that has paused is past it, and waits for no one.
    private var nextBeat: ContinuousClock.Instant {
        guard flush > .zero else { return lastCut }
        let beats = ((lastCut - epoch) / flush).rounded(.down) + 1
        return epoch + flush * beats
    }

    /// - Parameter whole: no matter where a character ends: nothing will follow.
    private mutating func cut(whole: Bool, now: ContinuousClock.Instant) -> Piece {
        let frameEnd = frameEnds.last { $0 - start <= Piece.limit }
        var count = frameEnd.map { $0 - start } ?? min(waiting.count, Piece.limit)
        if frameEnd == nil, !whole || waiting.count > Piece.limit {
            // A character that is torn all the same is longer than what there is of it.
            let whole = waiting.prefix(count).countOfWholeCharacters
            if whole > 0 { count = whole }
        }
        let piece = piece(Array(waiting.prefix(count)))
        waiting.removeFirst(count)
        start += count
        oldest = newest
        lastCut = now
        while let first = frameEnds.first, first <= start { frameEnds.removeFirst() }
        return piece
    }

    private mutating func piece(_ bytes: [UInt8]) -> Piece {
        hash.update(data: bytes)
        pieceCount += 1
        return Piece(number: pieceCount, start: start, bytes: bytes, head: pieceCount == 1 ? form.head : nil)
    }

    // MARK: The end

    mutating func end(_ failure: (any Error)?) -> AnswerEnd {
        // What was cut and is not stored counts for nothing; the rest, the store knows.
        if isBroken { return AnswerEnd(failure: failure, scanner: scanner, bytes: nil, stream: nil) }
        guard form.isStream || pieceCount > 0 else {
            return AnswerEnd(failure: failure, scanner: scanner, bytes: kept ?? Array(waiting), stream: nil)
        }
        var rest: Piece?
        if !waiting.isEmpty { rest = piece(Array(waiting.prefix(Piece.limit))) }
        let count = start + (rest?.bytes.count ?? 0)
        let stream = Reply.Answer.Stream(byteCount: count, digest: Array(hash.finalize()), rest: rest)
        return AnswerEnd(
            failure: failure, scanner: scanner, bytes: kept?.count == count ? kept : nil,
            stream: pieceCount > 0 ? stream : nil)
    }
}
