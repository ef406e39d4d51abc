/// Reads a stream as it comes: where its frames end, whether its end mark has come, and whether it told of an error.
///
/// Event streams are read as WHATWG has them (HTML, section 9.2.6): lines end with LF, CRLF or CR, and a byte order
/// mark may stand in front of the first one.
package struct StreamScanner: Sendable {
    /// No more of a first frame is held back: it could grow past what is read ahead of a commit.
    private static let heldBack = 64 * 1024
    private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]
    private static let lineFeed: UInt8 = 0x0A
    private static let carriageReturn: UInt8 = 0x0D

    /// What the line is that has not ended.
    private enum Line { case blank, comment, content }

    private let framing: StreamFraming
    private let mark: EndMark
    private let findsErrors: Bool

    /// Bytes that were read, in all.
    package private(set) var byteCount = 0
    /// Bytes since the beginning of the stream after which the last whole frame, comment or blank line ends; 0: none
    /// has ended. Without frames, always everything that came.
    package private(set) var frameEnd = 0
    /// Bytes since the beginning up to the last one of a line that is neither a comment nor blank: grows when there was
    /// progress, which a ping is not.
    package private(set) var progress = 0
    /// Whether the end mark has come; always true for ``EndMark/none``.
    package private(set) var hasEndMark: Bool
    /// The model server's words of the first error in band; nil: none so far.
    package private(set) var error: String?
    /// Whether the error was the stream's very first frame; comments are no frames.
    package private(set) var beganWithError = false

    private var frame = StreamFrame()
    /// Where the frame began, in bytes since the beginning.
    private var frameStart = 0
    private var hadFrame = false
    private var line = Line.blank
    /// The last byte was a CR, so that a LF belongs to its line.
    private var isAfterReturn = false
    /// How many bytes of a byte order mark have come; all of them too if there is none.
    private var orderMarkLength = 0

    /// - Parameters:
    ///   - framing: how the bytes are framed, by the answer's type.
    ///   - mark: what says that the stream is whole.
    ///   - findsErrors: Whether to look for errors in band: not where the dialect is not known.
    package init(framing: StreamFraming, mark: EndMark, findsErrors: Bool) {
        self.framing = framing
        self.mark = mark
        self.findsErrors = findsErrors
        hasEndMark = mark == .none
    }

    /// Whether the first frame is not whole yet, and may become an error by what came of it: to be held back.
    package var mayBeginWithError: Bool {
        findsErrors && !hadFrame && frame.mayBecomeError(framing) && byteCount - frameStart <= Self.heldBack
    }

    /// The next bytes, cut anywhere.
    package mutating func read(_ bytes: UnsafeRawBufferPointer) {
        guard !bytes.isEmpty else { return }
        if framing == .none {
            byteCount += bytes.count
            frameEnd = byteCount
            progress = byteCount
        } else {
            read(bytes.bindMemory(to: UInt8.self).span)
        }
    }

    /// The stream has ended: a last frame whose end is missing counts if its JSON is whole.
    package mutating func finish() {
        if line == .content { endContent() }
        line = .blank
        if !frame.isEmpty { endFrame(isTorn: true) }
    }

    private mutating func read(_ bytes: Span<UInt8>) {
        let start = byteCount
        byteCount += bytes.count
        var index = skipLineFeed(bytes, at: start)
        index = skipByteOrderMark(bytes, from: index, at: start)
        // Each is looked for again only once it has been passed, so that all is linear.
        var feed = -1
        var carriage = framing == .events ? -1 : bytes.count
        while index < bytes.count {
            if feed < index { feed = bytes.firstIndex(of: Self.lineFeed, from: index) }
            if carriage < index { carriage = bytes.firstIndex(of: Self.carriageReturn, from: index) }
            let end = min(feed, carriage)
            if index < end { take(bytes.extracting(index..<end), at: start + index) }
            guard end < bytes.count else { return }
            index = end + 1
            if end == carriage {
                if index == bytes.count { isAfterReturn = true } else if index == feed { index += 1 }
            }
            endLine(at: start + index)
        }
    }

    /// The LF of a CRLF between whose bytes the stream was cut belongs to what has ended with the CR.
    private mutating func skipLineFeed(_ bytes: Span<UInt8>, at start: Int) -> Int {
        guard isAfterReturn else { return 0 }
        isAfterReturn = false
        guard bytes[0] == Self.lineFeed else { return 0 }
        if frameEnd == start { frameEnd += 1 }
        if progress == start { progress += 1 }
        return 1
    }

    private mutating func skipByteOrderMark(_ bytes: Span<UInt8>, from first: Int, at start: Int) -> Int {
        let whole = Self.byteOrderMark.count
        var index = first
        while orderMarkLength < whole, index < bytes.count {
            guard bytes[index] == Self.byteOrderMark[orderMarkLength] else {
                let begun = Self.byteOrderMark.span.extracting(..<orderMarkLength)
                orderMarkLength = whole
                if !begun.isEmpty { take(begun, at: start + index - begun.count) }
                return index
            }
            orderMarkLength += 1
            index += 1
        }
        return index
    }

    /// Bytes of one line.
    private mutating func take(_ bytes: Span<UInt8>, at start: Int) {
        var first = 0
        if line == .blank {
            // White space in front of JSON is no content, and a line of it alone is blank.
            if framing == .lines { first = JSONByte.skipWhiteSpace(bytes, from: 0) }
            guard first < bytes.count else { return }
            line = framing == .events && bytes[first] == JSONByte.colon ? .comment : .content
            if frame.isEmpty { frameStart = start + first }
        }
        guard line == .content else { return }
        frame.append(bytes.extracting(first...))
        progress = start + bytes.count
    }

    private mutating func endLine(at end: Int) {
        switch line {
        case .blank:
            if !frame.isEmpty { endFrame(isTorn: false) }
            frameEnd = end
        case .comment:
            if frame.isEmpty { frameEnd = end }
        case .content:
            progress = end
            endContent()
            if framing == .lines {
                endFrame(isTorn: false)
                frameEnd = end
            }
        }
        line = .blank
    }

    private mutating func endContent() {
        if framing == .events { frame.endField() } else { frame.endLine() }
    }

    private mutating func endFrame(isTorn: Bool) {
        let judge = FrameJudge(
            frame,
            mark: hasEndMark ? .none : mark,
            findsErrors: findsErrors && error == nil,
            isTorn: isTorn
        )
        if judge.isEnd { hasEndMark = true }
        if let words = judge.error {
            error = words
            beganWithError = !hadFrame
        }
        hadFrame = true
        frame.clear()
    }
}
