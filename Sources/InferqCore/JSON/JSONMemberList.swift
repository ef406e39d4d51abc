/// Gathers the members of the outermost object while ``JSONGrammar`` passes over it.
struct JSONMemberList {
    enum Wanted {
        case none
        case all
        case named([String])
    }

    let wanted: Wanted
    private(set) var members: [JSONMember] = []
    private var start = 0
    private var valueStart: Int?

    init(_ wanted: Wanted) {
        self.wanted = wanted
    }

    /// A name may begin here.
    mutating func begin(at index: Int) {
        start = index
    }

    /// The colon is behind; the value is the next thing that is not white space.
    mutating func beginValue(_ text: Span<UInt8>, from index: Int) {
        valueStart = JSONByte.skipWhiteSpace(text, from: index)
    }

    /// A value of the outermost object ends here; of no effect for an empty object.
    mutating func end(at index: Int, _ text: Span<UInt8>) {
        guard let valueStart else { return }
        self.valueStart = nil
        add(start: start, value: valueStart..<index, text)
    }

    mutating func add(start: Int, value: Range<Int>, _ text: Span<UInt8>) {
        if case .none = wanted { return }
        guard !value.isEmpty, let kind = JSONKind(first: text[value.lowerBound]) else { return }
        let name = JSONText.decoded(text, start..<JSONText.endOfString(text, at: start))
        if case .named(let names) = wanted, !names.contains(where: { $0.utf8.elementsEqual(name.utf8) }) { return }
        // The members that a caller names are few.
        if members.isEmpty { members.reserveCapacity(4) }
        members.append(JSONMember(name: name, whole: start..<value.upperBound, value: value, kind: kind))
    }
}
