/// The id of an entry of a stream: milliseconds, then a number.
struct StreamID: Sendable, Hashable, Comparable {
    private let milliseconds: UInt64
    private let number: UInt64

    static let zero = StreamID(milliseconds: 0, number: 0)

    private init(milliseconds: UInt64, number: UInt64) {
        self.milliseconds = milliseconds
        self.number = number
    }

    /// Nil for what Redis would not take for an id, and for short forms of one.
    init?(_ text: String) {
        let halves = text.utf8.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard halves.count == 2, halves.allSatisfy({ $0.allSatisfy { (0x30...0x39).contains($0) } }),
            let milliseconds = UInt64(String(halves[0]) ?? ""), let number = UInt64(String(halves[1]) ?? "")
        else { return nil }
        self.init(milliseconds: milliseconds, number: number)
    }

    static func < (left: StreamID, right: StreamID) -> Bool {
        (left.milliseconds, left.number) < (right.milliseconds, right.number)
    }
}

/// One entry of a stream. Anyone who may write to Redis may have written it: each reader says what it takes.
struct StreamEntry: Sendable {
    let id: String
    private let fields: [String: [UInt8]]

    /// Nil for what is not an entry.
    init?(_ reply: RedisReply) {
        let parts = reply.elements
        guard parts.count == 2, let id = parts[0].text else { return nil }
        self.id = id
        var fields: [String: [UInt8]] = [:]
        let words = parts[1].elements
        for index in stride(from: 0, to: words.count - 1, by: 2) {
            if let name = words[index].text, let value = words[index + 1].bytes { fields[name] = value }
        }
        self.fields = fields
    }

    func has(_ name: String) -> Bool { fields[name] != nil }

    func bytes(_ name: String) -> [UInt8]? { fields[name] }

    /// Nil for what is missing, and for what no line of text may hold: see ``PlainText``.
    func text(_ name: String, upTo limit: Int = PlainText.limit) -> String? {
        fields[name].flatMap { PlainText.read($0, upTo: limit) }
    }

    /// Text for people, of whatever it is made; no more than `limit` bytes of it.
    func prose(_ name: String, upTo limit: Int) -> String? {
        fields[name].map { String(decoding: $0.prefix(limit), as: UTF8.self) }
    }

    /// Nil for what is missing, is no whole number, or is outside of `range`.
    func integer(_ name: String, in range: ClosedRange<Int>) -> Int? {
        guard let number = text(name, upTo: 20).flatMap({ Int($0) }), range.contains(number) else { return nil }
        return number
    }

    /// What `XREAD` and `XREADGROUP` answer: the entries of each stream.
    static func streams(_ reply: RedisReply) -> [(stream: String, entries: [StreamEntry])] {
        reply.elements.compactMap { stream in
            let parts = stream.elements
            guard parts.count == 2, let name = parts[0].text else { return nil }
            return (name, parts[1].elements.compactMap { StreamEntry($0) })
        }
    }
}

/// Text of others that may become a part of a key, a header or a line of the log.
enum PlainText {
    /// Bytes: a host's name has at most 255, and a worker's id is one with 13 more.
    static let limit = 512

    /// Nil for what is not UTF-8, longer than `limit` bytes, or holds control characters.
    static func read(_ bytes: [UInt8], upTo limit: Int = limit) -> String? {
        guard bytes.count <= limit, let text = String(validating: bytes, as: UTF8.self), isPlain(text, upTo: limit)
        else { return nil }
        return text
    }

    static func isPlain(_ text: String, upTo limit: Int = limit) -> Bool {
        text.utf8.count <= limit
            && text.unicodeScalars.allSatisfy { scalar in
                switch scalar.properties.generalCategory {
                case .control, .lineSeparator, .paragraphSeparator, .surrogate: false
                default: true
                }
            }
    }

    /// Whether this is the beginning of URLs at which a gateway may be asked over HTTP.
    static func isURL(_ text: String) -> Bool {
        (text.hasPrefix("http://") || text.hasPrefix("https://")) && isASCII(text, upTo: 2048)
    }

    /// Visible ASCII: what a header may hold.
    static func isASCII(_ text: String, upTo limit: Int) -> Bool {
        text.utf8.count <= limit && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }
}
