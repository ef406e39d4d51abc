/// Answers questions about JSON texts without building them up as values: a body stays the bytes that came.
///
/// ``validate(_:maxDepth:)`` and ``members(of:maxDepth:named:)`` take any bytes. All other functions take bytes that
/// have passed one of these; a range is that of a value, white space before it allowed. Everything is linear.
package enum JSONScanner {
    /// Checks a text against RFC 8259 and strict UTF-8, without a byte order mark, and says what its value is.
    ///
    /// - Parameter maxDepth: How deeply arrays and objects may be nested, 128 at most; the outermost has depth 1.
    ///   Other values add no depth.
    @discardableResult
    package static func validate(_ bytes: [UInt8], maxDepth: Int = 128) throws(JSONError) -> JSONKind {
        var none = JSONMemberList(.none)
        return try JSONGrammar.document(bytes.span, maxDepth: maxDepth, into: &none)
    }

    /// Does what ``validate(_:maxDepth:)`` does, and gives the members of the outermost value in order, duplicates
    /// included; nil if it is not an object.
    ///
    /// - Parameter named: The names of the members to give. Who knows them should say so: the list of all members
    ///   of a hostile text takes ten times as much memory as the text.
    package static func members(
        of bytes: [UInt8],
        maxDepth: Int = 128,
        named names: [String]? = nil
    ) throws(JSONError) -> [JSONMember]? {
        var list = JSONMemberList(names.map { .named($0) } ?? .all)
        let kind = try JSONGrammar.document(bytes.span, maxDepth: maxDepth, into: &list)
        return kind == .object ? list.members : nil
    }

    /// The members of the object in `range`, in order, duplicates included; none if it is not an object.
    package static func members(of bytes: [UInt8], in range: Range<Int>) -> [JSONMember] {
        let text = bytes.span.extracting(..<range.upperBound)
        let start = JSONByte.skipWhiteSpace(text, from: range.lowerBound)
        var list = JSONMemberList(.all)
        guard start < text.count, text[start] == JSONByte.openBrace else { return [] }
        JSONText.forEachMember(text, at: start) { name, value in
            list.add(start: name.lowerBound, value: value, text)
        }
        return list.members
    }

    /// The elements of the array in `range`, in order; none if it is not an array.
    package static func elements(of bytes: [UInt8], in range: Range<Int>) -> [Range<Int>] {
        let text = bytes.span.extracting(..<range.upperBound)
        let start = JSONByte.skipWhiteSpace(text, from: range.lowerBound)
        var elements: [Range<Int>] = []
        guard start < text.count, text[start] == JSONByte.openBracket else { return [] }
        JSONText.forEachElement(text, at: start) { element in
            elements.append(element)
            return true
        }
        return elements
    }

    /// The kind of the value that begins at `index`.
    package static func kind(of bytes: [UInt8], at index: Int) -> JSONKind {
        guard let kind = JSONKind(first: bytes[index]) else { preconditionFailure("no value begins here") }
        return kind
    }

    /// Takes out one member with the comma behind it and the white space between the two. The last member goes with
    /// the comma before it and the white space between, an only one by itself. All other bytes stay:
    ///
    ///     {"a":1, "job":{} , "b":2}    ->    {"a":1,  "b":2}
    ///     {"a":1 , "job":{} }          ->    {"a":1  }
    package static func removing(_ index: Int, of members: [JSONMember], from bytes: [UInt8]) -> [UInt8] {
        let text = bytes.span
        var removed = members[index].whole
        let next = JSONByte.skipWhiteSpace(text, from: removed.upperBound)
        if text[next] == JSONByte.comma {
            removed = removed.lowerBound..<next + 1
        } else {
            var before = removed.lowerBound - 1
            while JSONByte.isWhiteSpace(text[before]) { before -= 1 }
            if text[before] == JSONByte.comma { removed = before..<removed.upperBound }
        }
        var rest: [UInt8] = []
        rest.reserveCapacity(bytes.count - removed.count)
        rest.append(contentsOf: bytes[..<removed.lowerBound])
        rest.append(contentsOf: bytes[removed.upperBound...])
        return rest
    }

    /// The value that the pointer finds, without the white space around it, or nil. Of members of the same name the
    /// last one counts; names are compared scalar by scalar, without normalization.
    package static func find(_ pointer: JSONPointer, in bytes: [UInt8]) -> Range<Int>? {
        let text = bytes.span
        let start = JSONByte.skipWhiteSpace(text, from: 0)
        var found = start..<JSONText.endOfValue(text, at: start)
        for token in pointer.tokens {
            var next: Range<Int>?
            switch text[found.lowerBound] {
            case JSONByte.openBrace:
                JSONText.forEachMember(text, at: found.lowerBound) { name, value in
                    if token.matches(text, name) { next = value }
                }
            case JSONByte.openBracket:
                guard var left = token.index else { return nil }
                JSONText.forEachElement(text, at: found.lowerBound) { element in
                    if left == 0 { next = element }
                    left -= 1
                    return left >= 0
                }
            default:
                return nil
            }
            guard let next else { return nil }
            found = next
        }
        return found
    }

    /// Appends the value in `range` without insignificant white space and in ASCII: a scalar that is not ASCII becomes
    /// `\uXXXX` in lower case, two of them past U+FFFF. Escapes, numbers and the order of members stay as they are.
    package static func appendCompactASCII(_ bytes: [UInt8], _ range: Range<Int>, to out: inout [UInt8]) {
        JSONCompact.append(bytes.span.extracting(..<range.upperBound), range, to: &out)
    }
}
