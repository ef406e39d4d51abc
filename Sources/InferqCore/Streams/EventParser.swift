/// Takes a stream of server-sent events apart as it comes (WHATWG HTML, 9.2.5 and 9.2.6).
package struct EventParser: Sendable {
    package struct Event: Sendable, Equatable {
        /// The last id that the stream has named, in this event or before it.
        package var id: String
        /// `message` unless the event names its type.
        package var type: String
        package var data: String

        package init(id: String, type: String, data: String) {
            self.id = id
            self.type = type
            self.data = data
        }
    }

    /// A line or an event is longer than the limit.
    package struct TooLong: Error, Equatable {}

    /// Goes into `Last-Event-ID` when the stream is opened again; empty: nothing to name.
    package private(set) var lastEventID = ""
    /// What the server wants a client to wait before it comes back; nil until it has said so.
    package private(set) var retry: Duration?

    private let limit: Int
    private var line: [UInt8] = []
    private var data: [UInt8] = []
    private var hasData = false
    private var type = ""
    private var pendingID = ""
    /// The last byte was a CR, whose LF may be the first byte of the next chunk.
    private var isAfterCarriageReturn = false
    /// How much of a byte order mark at the beginning has been seen; nil once past it.
    private var markSeen: Int? = 0

    /// - Parameter limit: Bytes of one line and of one event's data, against a server that never ends them.
    package init(limit: Int = 16 << 20) {
        self.limit = limit
    }

    /// Forgets a cut-off event and begins again, as for the next response; the last id and the pause are kept.
    ///
    /// - Parameter start: Where the response begins, if it says so; counts only where no id is known.
    package mutating func restart(after start: String? = nil) {
        var next = EventParser(limit: limit)
        next.lastEventID = lastEventID.isEmpty ? start ?? "" : lastEventID
        next.pendingID = next.lastEventID
        next.retry = retry
        self = next
    }

    /// The events that the next bytes of the stream complete, in order.
    package mutating func push(_ bytes: some Sequence<UInt8>) throws(TooLong) -> [Event] {
        var events: [Event] = []
        for byte in bytes {
            if isAfterCarriageReturn {
                isAfterCarriageReturn = false
                if byte == UInt8(ascii: "\n") { continue }
            }
            switch byte {
            case UInt8(ascii: "\n"), UInt8(ascii: "\r"):
                isAfterCarriageReturn = byte == UInt8(ascii: "\r")
                if let event = try endLine() { events.append(event) }
            default:
                guard line.count < limit else { throw TooLong() }
                line.append(byte)
                skipMark()
            }
        }
        return events
    }

    private mutating func skipMark() {
        guard let seen = markSeen else { return }
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        guard line.last == mark[seen] else {
            markSeen = nil
            return
        }
        markSeen = seen == 2 ? nil : seen + 1
        if seen == 2 { line.removeAll() }
    }

    private mutating func endLine() throws(TooLong) -> Event? {
        defer { line.removeAll(keepingCapacity: true) }
        markSeen = nil
        if line.isEmpty { return dispatch() }
        let colon = line.firstIndex(of: UInt8(ascii: ":")) ?? line.endIndex
        var value = line[colon...].dropFirst()
        if value.first == UInt8(ascii: " ") { value = value.dropFirst() }
        switch String(decoding: line[..<colon], as: UTF8.self) {
        case "data":
            guard data.count + value.count < limit else { throw TooLong() }
            if hasData { data.append(UInt8(ascii: "\n")) }
            data.append(contentsOf: value)
            hasData = true
        case "event":
            type = String(decoding: value, as: UTF8.self)
        case "id" where !value.contains(0):
            pendingID = String(decoding: value, as: UTF8.self)
        case "retry" where !value.isEmpty && value.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }:
            // A number that does not fit is a pause that no one wants to wait for.
            if let milliseconds = Int32(String(decoding: value, as: UTF8.self)) { retry = .milliseconds(milliseconds) }
        default:
            // A comment has an empty name; other names are of no meaning.
            break
        }
        return nil
    }

    private mutating func dispatch() -> Event? {
        defer {
            data.removeAll(keepingCapacity: true)
            hasData = false
            type = ""
        }
        lastEventID = pendingID
        // The standard's buffer holds a LF for every data line: `data` alone gives an event with empty data.
        guard hasData else { return nil }
        return Event(
            id: lastEventID,
            type: type.isEmpty ? "message" : type,
            data: String(decoding: data, as: UTF8.self)
        )
    }
}
