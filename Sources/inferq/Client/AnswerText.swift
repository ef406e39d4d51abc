import InferqCore

/// The text of an answer while it comes: of a stream in the language of a known model server what its deltas say, of
/// anything else the bytes as they are.
struct AnswerText {
    private enum State {
        /// No frame has ended yet: what came so far.
        case undecided([UInt8])
        case deltas
        case verbatim
    }

    /// Bytes without the end of a frame, after which the stream is none of a model server.
    private static let undecidedLimit = 1 << 20

    private var state: State
    private var frames: FrameReader?
    private var lastKind: DeltaFrame.Delta.Kind?
    private var endsWithLineFeed = false

    /// - Parameter contentType: of the answer, which tells whether it has frames.
    init(contentType: String) {
        frames = FrameReader(contentType: contentType)
        state = frames == nil ? .verbatim : .undecided([])
    }

    /// The text that the next bytes of the answer add.
    mutating func push(_ bytes: [UInt8]) -> [UInt8] {
        if case .verbatim = state { return bytes }
        if case .undecided(let held) = state { state = .undecided(held + bytes) }
        guard let ended = frames?.push(bytes) else {
            // Too long to be a frame of a model server.
            return becomeVerbatim() ?? bytes
        }
        return take(ended)
    }

    /// The text that is still held back, as the answer has ended.
    mutating func end() -> [UInt8] {
        if case .verbatim = state { return [] }
        let text = take(frames?.end() ?? [])
        return text + (becomeVerbatim() ?? [])
    }

    private mutating func take(_ ended: [[UInt8]]) -> [UInt8] {
        var text: [UInt8] = []
        for frame in ended {
            let known = DeltaFrame(frame)
            if case .undecided = state {
                guard known != nil || Self.isEndMark(frame) else { return becomeVerbatim() ?? [] }
                state = .deltas
            }
            for delta in known?.deltas ?? [] { append(delta, to: &text) }
        }
        if case .undecided(let held) = state, held.count > Self.undecidedLimit { return becomeVerbatim() ?? [] }
        return text
    }

    /// - Returns: what was held back until it was decided; nil if it was decided before.
    private mutating func becomeVerbatim() -> [UInt8]? {
        defer { state = .verbatim }
        if case .undecided(let held) = state { return held }
        return nil
    }

    /// A blank line stands between what a model thinks and what it answers.
    private mutating func append(_ delta: DeltaFrame.Delta, to text: inout [UInt8]) {
        if let lastKind, lastKind != delta.kind { text += Array((endsWithLineFeed ? "\n" : "\n\n").utf8) }
        lastKind = delta.kind
        text += Array(delta.text.utf8)
        endsWithLineFeed = text.last == UInt8(ascii: "\n")
    }

    private static func isEndMark(_ frame: [UInt8]) -> Bool {
        frame.starts(with: "[DONE]".utf8)
    }
}

/// Takes an answer apart into the data of its frames.
private struct FrameReader {
    private enum Kind {
        case events(EventParser)
        /// A line that has not ended.
        case lines([UInt8])
    }

    private static let longestLine = 16 << 20

    private var kind: Kind

    /// Nil for a type of answers that have no frames.
    init?(contentType: String) {
        switch ContentType.framing(of: contentType) {
        case .events: kind = .events(EventParser())
        case .lines: kind = .lines([])
        case nil, .some(.none): return nil
        }
    }

    /// The frames that the next bytes end; nil if one is too long.
    mutating func push(_ bytes: [UInt8]) -> [[UInt8]]? {
        switch kind {
        case .events(var stream):
            // Frames before the one that is too long are lost along with it.
            guard let events = try? stream.push(bytes) else { return nil }
            kind = .events(stream)
            return events.map { Array($0.data.utf8) }
        case .lines(let begun):
            var lines = (begun + bytes).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            let rest = lines.popLast().map { Array($0) } ?? []
            guard rest.count <= Self.longestLine else { return nil }
            kind = .lines(rest)
            return lines.filter { $0.contains { $0 > 0x20 } }.map { Array($0) }
        }
    }

    /// A last frame whose end is missing.
    mutating func end() -> [[UInt8]] {
        switch kind {
        case .events: push(Array("\n\n".utf8)) ?? []
        case .lines: push(Array("\n".utf8)) ?? []
        }
    }
}
