import InferqCore

/// Reads the texts and words that some members of a JSON object have, from its bytes as they come. It checks no more of the
/// grammar than it must to find them: the model server reads the body itself.
struct JSONMemberReader {
    private enum Place {
        case beforeObject
        case beforeName
        case name
        case beforeValue
        /// A text that is wanted.
        case text
        /// A number, true, false or null.
        case word
        /// In an array or object; `depth` of them are open.
        case nested
        /// In a text that is not wanted, of the object itself or below it.
        case otherText
        case afterValue
        case over
    }

    private let names: Set<String>
    private var place = Place.beforeObject
    private var depth = 0
    private var isEscaped = false
    /// A name or a text that is being read, from its quotation mark on.
    private var token: [UInt8] = []
    /// The name of the member that is being read, if it is wanted.
    private var wanted: String?
    /// Texts, by the members' names.
    private(set) var values: [String: String] = [:]
    /// Numbers, `true`, `false` and `null` as they were written, by the members' names.
    private(set) var words: [String: String] = [:]

    /// Bytes of a word that are looked at.
    private static let longestWord = 16

    init(_ names: [String]) {
        self.names = Set(names)
    }

    mutating func read(_ bytes: Span<UInt8>) {
        var index = 0
        while index < bytes.count {
            switch place {
            case .over: return
            case .otherText: index = skipText(bytes, from: index)
            case .nested: index = skipNested(bytes, from: index)
            default:
                read(bytes[index])
                index += 1
            }
        }
    }

    private mutating func read(_ byte: UInt8) {
        switch (place, byte) {
        case (.name, _): if keep(byte) { nameEnded() }
        case (.text, _): if keep(byte) { textEnded() }
        case (.beforeObject, UInt8(ascii: "{")): place = .beforeName
        // A byte order mark, which some programs put in front of UTF-8.
        case (.beforeObject, 0xEF), (.beforeObject, 0xBB), (.beforeObject, 0xBF): break
        case (_, UInt8(ascii: " ")), (_, UInt8(ascii: "\t")), (_, UInt8(ascii: "\r")), (_, UInt8(ascii: "\n")): break
        case (.beforeName, UInt8(ascii: "\"")): begin(.name, byte)
        case (.beforeName, UInt8(ascii: ",")), (.beforeValue, UInt8(ascii: ":")): break
        case (.beforeValue, _): valueBegins(byte)
        case (.word, UInt8(ascii: ",")):
            wordEnded()
            place = .beforeName
        case (.word, UInt8(ascii: "}")):
            wordEnded()
            place = .over
        case (.word, _): if token.count < Self.longestWord { token.append(byte) }
        case (.afterValue, UInt8(ascii: ",")): place = .beforeName
        default: place = .over
        }
    }

    private mutating func begin(_ place: Place, _ quote: UInt8) {
        self.place = place
        token = [quote]
        isEscaped = false
    }

    /// - Returns: whether the token ends with this byte.
    private mutating func keep(_ byte: UInt8) -> Bool {
        // One byte more shows that it was too long.
        if token.count <= NameLimit.byteCount { token.append(byte) }
        if isEscaped {
            isEscaped = false
            return false
        }
        isEscaped = byte == UInt8(ascii: "\\")
        return byte == UInt8(ascii: "\"")
    }

    /// What the token says; nil when it is too long or malformed.
    private var said: String? {
        guard token.count <= NameLimit.byteCount, (try? JSONScanner.validate(token)) == .string else { return nil }
        return JSONScanner.string(in: token, token.indices)
    }

    private mutating func nameEnded() {
        wanted = said.flatMap { names.contains($0) ? $0 : nil }
        place = .beforeValue
    }

    private mutating func textEnded() {
        if let wanted { values[wanted] = said }
        place = .afterValue
    }

    private mutating func wordEnded() {
        if let wanted { words[wanted] = String(decoding: token, as: UTF8.self) }
    }

    private mutating func valueBegins(_ byte: UInt8) {
        if let wanted {
            values[wanted] = nil
            words[wanted] = nil
        }
        depth = 0
        switch byte {
        case UInt8(ascii: "\""): if wanted == nil { place = .otherText } else { begin(.text, byte) }
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            depth = 1
            place = .nested
        default:
            token = [byte]
            place = .word
        }
    }

    /// - Returns: where to go on.
    private mutating func skipText(_ bytes: Span<UInt8>, from start: Int) -> Int {
        var index = start
        if isEscaped {
            isEscaped = false
            return index + 1
        }
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            if byte == UInt8(ascii: "\"") {
                place = depth == 0 ? .afterValue : .nested
                return index
            }
            if byte == UInt8(ascii: "\\") {
                isEscaped = true
                return index
            }
        }
        return index
    }

    private mutating func skipNested(_ bytes: Span<UInt8>, from start: Int) -> Int {
        var index = start
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "\""):
                place = .otherText
                return index
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                if depth == 0 {
                    place = .afterValue
                    return index
                }
            default: break
            }
        }
        return index
    }
}
