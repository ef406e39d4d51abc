import InferqCore

/// Reads some parts of a form (`multipart/form-data`, RFC 7578) from its bytes as they come, whatever their order.
struct MultipartReader {
    private enum Place {
        case content
        /// Behind a boundary, on the rest of its line.
        case afterBoundary
        case head
        case over
    }

    /// Bytes of the head of a part.
    private static let longestHead = 16 << 10

    private let names: Set<String>
    /// The line end before a boundary belongs to it.
    private let delimiter: [UInt8]
    private var place = Place.content
    /// How many bytes of the delimiter the newest ones are.
    private var matched = 2
    /// How many of these are no content: a boundary may begin the body, or follow the empty line of a part's head.
    private var borrowed = 2
    /// Of the line of a boundary, or of a part's head.
    private var line: [UInt8] = []
    /// The content of a part that is wanted.
    private var content: [UInt8] = []
    private var wanted: String?
    private(set) var values: [String: String] = [:]

    /// Nil for what is no boundary.
    init?(boundary: String, names: [String]) {
        guard (1...256).contains(boundary.utf8.count), !boundary.utf8.contains(UInt8(ascii: "\r")) else { return nil }
        delimiter = Array("\r\n--\(boundary)".utf8)
        self.names = Set(names)
    }

    mutating func read(_ bytes: Span<UInt8>) {
        var index = 0
        while index < bytes.count {
            if case .content = place, matched == 0, wanted == nil {
                while index < bytes.count, bytes[index] != UInt8(ascii: "\r") { index += 1 }
                if index == bytes.count { return }
            }
            let byte = bytes[index]
            index += 1
            switch place {
            case .content: readContent(byte)
            case .afterBoundary: readRestOfLine(byte)
            case .head: readHead(byte)
            case .over: return
            }
        }
    }

    private mutating func readContent(_ byte: UInt8) {
        if byte == delimiter[matched] {
            matched += 1
            guard matched == delimiter.count else { return }
            if let wanted, content.count <= BodyModel.longestName {
                values[wanted] = String(decoding: content, as: UTF8.self)
            }
            wanted = nil
            matched = 0
            line = []
            place = .afterBoundary
            return
        }
        // The carriage return stands at the delimiter's beginning alone: nothing shorter can match before this byte.
        if wanted != nil { keep(delimiter[borrowed..<max(borrowed, matched)]) }
        borrowed = 0
        matched = byte == delimiter[0] ? 1 : 0
        if wanted != nil, matched == 0 { keep([byte]) }
    }

    private mutating func keep(_ bytes: some Sequence<UInt8>) {
        if content.count <= BodyModel.longestName { content.append(contentsOf: bytes) }
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

    private mutating func readHead(_ byte: UInt8) {
        line.append(byte)
        guard line.count <= Self.longestHead else {
            place = .over
            return
        }
        guard byte == UInt8(ascii: "\n"), line.elementsEqual("\r\n".utf8) || line.hasSuffix("\r\n\r\n") else { return }
        wanted = Self.name(in: line).flatMap { names.contains($0) ? $0 : nil }
        content = []
        matched = 2
        borrowed = 2
        place = .content
    }

    /// What a part's `Content-Disposition` calls it.
    private static func name(in head: [UInt8]) -> String? {
        for line in head.split(separator: UInt8(ascii: "\n")) {
            let text = String(decoding: line.prefix { $0 != UInt8(ascii: "\r") }, as: UTF8.self)
            guard let colon = text.utf8.firstIndex(of: UInt8(ascii: ":")) else { continue }
            guard text[..<colon].trimmingSpaces.lowercased() == "content-disposition" else { continue }
            return FieldParameters(String(text[text.utf8.index(after: colon)...]))["name"]
        }
        return nil
    }
}

extension [UInt8] {
    fileprivate func hasSuffix(_ text: String) -> Bool {
        suffix(text.utf8.count).elementsEqual(text.utf8)
    }
}
