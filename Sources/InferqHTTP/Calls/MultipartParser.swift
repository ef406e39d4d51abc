/// Hears of the parts of a form while its bytes come.
protocol MultipartVisitor {
    /// A part begins.
    ///
    /// - Parameter disposition: of its head: `name`, `filename`.
    mutating func partBegins(_ disposition: FieldParameters)
    /// More of its content; cut anywhere, never empty.
    mutating func partGoesOn(_ bytes: Span<UInt8>)
    /// It is whole.
    mutating func partEnds()
}

/// Takes a form (`multipart/form-data`, RFC 7578) apart while its bytes come.
struct MultipartParser {
    private enum Place {
        case content
        /// Behind a boundary, on the rest of its line.
        case afterBoundary
        case head
        case over
    }

    /// Bytes of the head of a part.
    private static let longestHead = 16 << 10

    /// The line end before a boundary belongs to it.
    private let delimiter: [UInt8]
    private var place = Place.content
    /// How many bytes of the delimiter the newest ones are.
    private var matched = 2
    /// How many of these are no content: a boundary may begin the body, or follow the empty line of a part's head.
    private var borrowed = 2
    /// Of the line of a boundary, or of a part's head.
    private var line: [UInt8] = []
    private var isInPart = false

    /// Nil for what is not a boundary.
    init?(boundary: String) {
        guard (1...256).contains(boundary.utf8.count), !boundary.utf8.contains(UInt8(ascii: "\r")) else { return nil }
        delimiter = Array("\r\n--\(boundary)".utf8)
    }

    /// Whether the last boundary has come, or what follows can be no form.
    var isOver: Bool { if case .over = place { true } else { false } }

    mutating func read(_ bytes: Span<UInt8>, _ visitor: inout some MultipartVisitor) {
        var index = 0
        while index < bytes.count {
            if case .content = place, matched == 0 {
                let start = index
                while index < bytes.count, bytes[index] != UInt8(ascii: "\r") { index += 1 }
                if isInPart, index > start { visitor.partGoesOn(bytes.extracting(start..<index)) }
                if index == bytes.count { return }
            }
            let byte = bytes[index]
            index += 1
            switch place {
            case .content: readContent(byte, &visitor)
            case .afterBoundary: readRestOfLine(byte)
            case .head: readHead(byte, &visitor)
            case .over: return
            }
        }
    }

    private mutating func readContent(_ byte: UInt8, _ visitor: inout some MultipartVisitor) {
        if byte == delimiter[matched] {
            matched += 1
            guard matched == delimiter.count else { return }
            if isInPart { visitor.partEnds() }
            isInPart = false
            matched = 0
            line = []
            place = .afterBoundary
            return
        }
        // The carriage return stands at the delimiter's beginning alone: nothing shorter can match before this byte.
        if isInPart, matched > borrowed { visitor.partGoesOn(delimiter.span.extracting(borrowed..<matched)) }
        borrowed = 0
        matched = byte == delimiter[0] ? 1 : 0
        if isInPart, matched == 0 { visitor.partGoesOn([byte].span) }
    }

    private mutating func readRestOfLine(_ byte: UInt8) {
        line.append(byte)
        if line.elementsEqual("--".utf8) {
            place = .over
        } else if byte == UInt8(ascii: "\n") {
            line = []
            place = .head
        } else if line.count > 256 {
            place = .over
        }
    }

    private mutating func readHead(_ byte: UInt8, _ visitor: inout some MultipartVisitor) {
        line.append(byte)
        guard line.count <= Self.longestHead else {
            place = .over
            return
        }
        guard byte == UInt8(ascii: "\n"), line.elementsEqual("\r\n".utf8) || line.hasSuffix("\r\n\r\n") else { return }
        isInPart = true
        visitor.partBegins(Self.disposition(in: line))
        matched = 2
        borrowed = 2
        place = .content
    }

    /// What a part's `Content-Disposition` says.
    private static func disposition(in head: [UInt8]) -> FieldParameters {
        for line in head.split(separator: UInt8(ascii: "\n")) {
            let text = String(decoding: line.prefix { $0 != UInt8(ascii: "\r") }, as: UTF8.self)
            guard let colon = text.utf8.firstIndex(of: UInt8(ascii: ":")) else { continue }
            guard text[..<colon].trimmingSpaces.lowercased() == "content-disposition" else { continue }
            return FieldParameters(String(text[text.utf8.index(after: colon)...]))
        }
        return FieldParameters("")
    }
}

extension [UInt8] {
    fileprivate func hasSuffix(_ text: String) -> Bool {
        suffix(text.utf8.count).elementsEqual(text.utf8)
    }
}
