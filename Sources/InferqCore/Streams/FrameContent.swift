/// The JSON of one frame: the members of its outermost object that decide something.
///
/// Of a text that is not JSON, or only its beginning, what stands before the fault counts, the member in which the
/// fault is included: an error whose words are cut short is one.
struct FrameContent {
    /// Bytes of the longest words that are passed on.
    private static let longestWords = 2048
    private static let silent = "an error without a message"
    /// The members that hold the words of an error, the best one first.
    private static let wordMembers = ["message", "detail", "error"]

    /// Whether the text is JSON.
    let isWhole: Bool
    private let text: [UInt8]
    private let members: [JSONMember]
    /// The member in which the text breaks off.
    private let torn: JSONMember?

    init(_ text: [UInt8]) {
        self.text = text
        var list = JSONMemberList(
            .named(["error", "type", "message", "detail", "response", "done", "done_reason", "stop", "generated_text"])
        )
        do {
            _ = try JSONGrammar.document(text.span, maxDepth: JSONGrammar.deepest, into: &list)
            isWhole = true
            torn = nil
        } catch {
            isWhole = false
            let count = list.members.count
            list.end(at: text.count, text.span)
            torn = list.members.count > count ? list.members.last : nil
        }
        members = list.members
    }

    // MARK: The end

    /// - Parameter name: by the frame's line `event:`.
    func ends(_ mark: EndMark, named name: FrameName?) -> Bool {
        switch mark {
        case .none, .done: false
        case .responses, .message: name?.ends(mark) == true || type?.ends(mark) == true
        case .ollama: isTrue("done") || member("done_reason").map { $0.kind == .string && isTruthy($0) } == true
        case .llama: isTrue("stop")
        case .generated: member("generated_text").map { $0.kind != .null } == true
        }
    }

    private var type: FrameName? {
        member("type").flatMap { string($0) }.flatMap(FrameName.init(rawValue:))
    }

    private func isTrue(_ name: String) -> Bool {
        member(name).map { $0.kind == .bool && isTruthy($0) } == true
    }

    // MARK: Errors

    /// The words of the error that the frame tells of; nil if it tells of none.
    ///
    /// - Parameter name: by the frame's line `event:`.
    func error(named name: FrameName?) -> String? {
        guard let words = anyLength(name) else { return nil }
        return words.isEmpty ? Self.silent : Self.shortened(words)
    }

    private func anyLength(_ name: FrameName?) -> String? {
        if let error = member("error"), isTruthy(error) {
            // A flag, or a number: the words stand beside it.
            let hasWords = error.kind != .bool && error.kind != .number
            return hasWords ? words(of: error) : wordsBeside ?? words(of: error)
        }
        switch [name, type].lazy.compactMap({ $0 }).first(where: \.isError) {
        case .responseFailed:
            let response = member("response").map { within($0) } ?? []
            return response.last { $0.name == "error" }.map { words(of: $0) } ?? ""
        case .error: return ownWords
        default: return nil
        }
    }

    /// The words of an object that is an error itself, or of data that is not an object.
    private var ownWords: String {
        if let wordsBeside { return wordsBeside }
        let start = JSONByte.skipWhiteSpace(text.span, from: 0)
        guard isWhole, text[start] == JSONByte.quote else { return raw(start..<text.count) }
        return JSONScanner.string(in: text, start..<text.count) ?? ""
    }

    /// The words in members of the outermost object that are not `error`.
    private var wordsBeside: String? {
        ["message", "detail"].lazy.compactMap { member($0) }.first(where: isTruthy).map { words(of: $0) }
    }

    private func words(of member: JSONMember) -> String {
        if let string = string(member) { return string }
        switch member.kind {
        case .null, .bool: return ""
        case .string: return raw(member.value.lowerBound + 1..<member.value.upperBound)
        case .object:
            let inner = within(member)
            for name in Self.wordMembers {
                if let word = inner.last(where: { $0.name == name }), isTruthy(word) { return words(of: word) }
            }
            return raw(member.value)
        case .array, .number: return raw(member.value)
        }
    }

    // MARK: Members

    /// Of members of the same name the last one counts.
    private func member(_ name: String) -> JSONMember? {
        members.last { $0.name == name }
    }

    /// The members of an object that hold words; none of one in which the text breaks off.
    private func within(_ member: JSONMember) -> [JSONMember] {
        guard member.kind == .object, member != torn else { return [] }
        let text = text.span
        var list = JSONMemberList(.named(Self.wordMembers))
        JSONText.forEachMember(text, at: member.value.lowerBound) { name, value in
            list.add(start: name.lowerBound, value: value, text)
        }
        return list.members
    }

    private func string(_ member: JSONMember) -> String? {
        member == torn ? nil : JSONScanner.string(in: text, member.value)
    }

    /// Whether a client in Python or JavaScript would take it for true.
    private func isTruthy(_ member: JSONMember) -> Bool {
        let value = text.span.extracting(member.value)
        switch member.kind {
        case .null: return false
        case .bool: return value[0] == UInt8(ascii: "t")
        case .number: return JSONScanner.double(in: text, member.value) != 0
        case .string: return value.count > 2
        case .object, .array:
            let first = JSONByte.skipWhiteSpace(value, from: 1)
            return first < value.count && value[first] != JSONByte.closeBrace && value[first] != JSONByte.closeBracket
        }
    }

    // MARK: Words

    /// The text as it stands there, up to the longest words.
    private func raw(_ range: Range<Int>) -> String {
        let end = min(range.upperBound, range.lowerBound + Self.longestWords)
        return JSONText.string(text.span.extracting(range.lowerBound..<end))
    }

    private static func shortened(_ words: String) -> String {
        guard words.utf8.count > longestWords else { return words }
        var end = words.utf8.index(words.startIndex, offsetBy: longestWords)
        while end.samePosition(in: words.unicodeScalars) == nil { end = words.utf8.index(before: end) }
        return String(words[..<end])
    }
}
