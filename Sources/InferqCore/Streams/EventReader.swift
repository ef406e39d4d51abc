/// Takes an event stream apart as it comes (HTML, section 9.2.6): the name and the data of each event that is whole.
struct EventReader: Sendable {
    struct Event: Sendable {
        /// Empty: it has none.
        let name: String
        let data: [UInt8]
    }

    private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

    private var line: [UInt8] = []
    private var name = ""
    private var data: [UInt8] = []
    private var hasData = false
    private var isFirstLine = true
    /// The last byte was a CR: a LF that follows belongs to it.
    private var isAfterReturn = false

    /// - Parameter bytes: what follows those of the call before, cut anywhere.
    /// - Returns: the events that end in them.
    mutating func read(_ bytes: [UInt8]) -> [Event] {
        var events: [Event] = []
        var start = 0
        for index in bytes.indices {
            let byte = bytes[index]
            guard byte == 0x0A || byte == 0x0D else { continue }
            let isSecondHalf = byte == 0x0A && isAfterReturn && index == start && line.isEmpty
            isAfterReturn = byte == 0x0D
            defer { start = index + 1 }
            if isSecondHalf { continue }
            line += bytes[start..<index]
            if let event = endLine() { events.append(event) }
        }
        if start < bytes.count {
            line += bytes[start...]
            isAfterReturn = false
        }
        return events
    }

    /// The stream has ended: a last event counts although the blank line is missing behind it.
    mutating func finish() -> Event? {
        if !line.isEmpty { _ = endLine() }
        return endLine()
    }

    /// - Returns: the event that ends with the line.
    private mutating func endLine() -> Event? {
        defer { line.removeAll(keepingCapacity: true) }
        if isFirstLine {
            isFirstLine = false
            if line.starts(with: Self.byteOrderMark) { line.removeFirst(Self.byteOrderMark.count) }
        }
        guard !line.isEmpty else { return endEvent() }
        let colon = line.firstIndex(of: JSONByte.colon) ?? line.count
        var value = line[min(colon + 1, line.count)...]
        if value.first == JSONByte.space { value.removeFirst() }
        switch JSONText.string(line.span.extracting(..<colon)) {
        case "data":
            if hasData { data.append(0x0A) }
            data += value
            hasData = true
        case "event": name = String(decoding: value, as: UTF8.self)
        default: break
        }
        return nil
    }

    private mutating func endEvent() -> Event? {
        defer {
            name = ""
            data = []
            hasData = false
        }
        return hasData ? Event(name: name, data: data) : nil
    }
}
