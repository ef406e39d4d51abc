/// What is kept of one frame of a stream while it comes: the text of its data, and its name.
///
/// Of a frame that is longer than ``limit`` only the beginning is kept, and its name wherever that stands.
struct StreamFrame: Sendable {
    /// Bytes.
    static let limit = 1 << 20
    /// So much is kept of a line that begins past the limit: enough for a name.
    private static let shortLine = 64
    /// Memory that is kept from one frame to the next.
    private static let keptCapacity = 64 * 1024
    /// The beginnings of lines of an event stream that hold data.
    private static let dataLine: StaticString = "data:"

    /// The data of the lines that have ended, a LF between two of them; behind it, the line that has not.
    private(set) var text: [UInt8] = []
    private var lineStart = 0
    private var hasData = false
    private var isLineCut = false
    private(set) var isCut = false
    /// Whether nothing of a frame has come.
    private(set) var isEmpty = true
    private(set) var name: FrameName?

    /// More of the line that has not ended.
    mutating func append(_ bytes: Span<UInt8>) {
        isEmpty = false
        let room = max(Self.limit - text.count, Self.shortLine - (text.count - lineStart))
        let taken = min(bytes.count, max(0, room))
        JSONText.append(bytes, 0..<taken, to: &text)
        if taken < bytes.count { isLineCut = true }
    }

    /// Ends a line that is data as a whole.
    mutating func endLine() {
        addData(from: lineStart)
    }

    /// Ends a line of an event stream: `field: value`.
    mutating func endField() {
        let field = EventField(text.span.extracting(lineStart...))
        switch field.kind {
        case .data: addData(from: lineStart + field.valueStart)
        case .error:
            name = .error
            addData(from: lineStart + field.valueStart)
        case .event(let name):
            self.name = name
            dropLine()
        case .other: dropLine()
        }
    }

    /// The text from `start` on is data; what stands between the line's beginning and it is not.
    private mutating func addData(from start: Int) {
        guard lineStart < Self.limit else {
            isCut = true
            dropLine()
            return
        }
        if isLineCut { isCut = true }
        var valueStart = lineStart
        if hasData {
            if start > lineStart { text[lineStart] = 0x0A } else { text.insert(0x0A, at: lineStart) }
            valueStart += 1
        }
        if start > valueStart { text.removeSubrange(valueStart..<start) }
        hasData = true
        lineStart = text.count
        isLineCut = false
    }

    private mutating func dropLine() {
        text.removeSubrange(lineStart...)
        isLineCut = false
    }

    /// Makes room for the next frame.
    mutating func clear() {
        text.removeAll(keepingCapacity: text.capacity <= Self.keptCapacity)
        lineStart = 0
        hasData = false
        isLineCut = false
        isCut = false
        isEmpty = true
        name = nil
    }

    /// Whether what came so far may be the beginning of an error.
    ///
    /// - Parameter framing: of the stream.
    func mayBecomeError(_ framing: StreamFraming) -> Bool {
        guard !isEmpty else { return false }
        if name?.isError == true { return true }
        var data = text.span
        if !hasData, framing == .events {
            guard data.starts(with: Self.dataLine) else { return true }
            data = data.extracting(Self.dataLine.utf8CodeUnitCount...)
        }
        let first = JSONByte.skipWhiteSpace(data, from: 0)
        return first == data.count || data[first] == JSONByte.openBrace
    }
}

/// One line of an event stream, taken apart.
private struct EventField {
    enum Kind {
        case data
        /// Old versions of llama.cpp write errors so.
        case error
        case event(FrameName?)
        case other
    }

    let kind: Kind
    let valueStart: Int

    init(_ line: Span<UInt8>) {
        let colon = line.firstIndex(of: JSONByte.colon, from: 0)
        var start = min(colon + 1, line.count)
        if start < line.count, line[start] == JSONByte.space { start += 1 }
        valueStart = start
        let name = line.extracting(..<colon)
        if name.isEqual(to: "data") {
            kind = .data
        } else if name.isEqual(to: "event") {
            kind = .event(FrameName(line.extracting(start...)))
        } else {
            kind = name.isEqual(to: "error") ? .error : .other
        }
    }
}
