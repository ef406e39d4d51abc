/// How the record shows an answer: as JSON, as a text, or by its size and digest.
package struct AnswerForm: Sendable, Equatable {
    package let form: Payload.Form
    /// Why an answer that claims to be JSON is not shown as JSON: one sentence for people.
    package let note: String?

    /// Types whose answers are shown as a text.
    private static let texts: Set<String> = ["application/x-ndjson", "text/event-stream", "text/plain"]

    /// - Parameter encoding: nil for bytes that are as their type says.
    package init(_ bytes: [UInt8], contentType: String?, encoding: String?) {
        let type = contentType.flatMap(MediaType.init)
        let claim = type.flatMap { $0.isJSON ? $0.essence.clipped : nil }
        if let encoding {
            form = .bytes
            note = claim.map {
                "The answer is labeled \($0), but it is encoded (\(encoding.clipped)) and kept as it came."
            }
        } else if let claim {
            let fault = Self.fault(in: bytes)
            form = fault == nil ? .json : .bytes
            note = fault.map { "The answer is labeled \(claim), but it is not valid JSON: \($0)." }
        } else if Self.mayHideJSON(type), Self.isContainer(bytes) {
            form = .json
            note = nil
        } else {
            let charset = contentType.flatMap(MediaType.charset)
            form = Self.texts.contains(type?.essence ?? "") && Self.isText(bytes, charset) ? .text : .bytes
            note = nil
        }
    }

    // MARK: JSON

    /// Servers that are written by hand often send JSON under one of these.
    package static func mayHideJSON(_ type: MediaType?) -> Bool {
        guard let essence = type?.essence else { return true }
        return essence.hasPrefix("text/") || essence == "application/octet-stream"
    }

    /// Whether it is a JSON object or array. A number or a word alone is more likely a text.
    private static func isContainer(_ bytes: [UInt8]) -> Bool {
        beginsLikeContainer(bytes) && fault(in: bytes) == nil
    }

    /// Whether it may be the beginning of a JSON object or array.
    package static func beginsLikeContainer(_ bytes: [UInt8]) -> Bool {
        let first = bytes.first { !" \t\r\n".utf8.contains($0) }
        return first == UInt8(ascii: "{") || first == UInt8(ascii: "[")
    }

    /// What keeps the bytes from being JSON, and where; nil if they are.
    private static func fault(in bytes: [UInt8]) -> String? {
        do {
            try JSONScanner.validate(bytes)
            return nil
        } catch {
            guard !bytes.isEmpty else { return "it is empty" }
            guard let number = nonFiniteNumber(in: bytes, at: error.offset) else { return error.description }
            // The grammar stops behind the sign.
            let column = number.hasPrefix("-") ? error.column - 1 : error.column
            return "\(number) is not a JSON value, at line \(error.line), column \(column)"
        }
    }

    /// What Python and JavaScript write where JSON has no number.
    private static func nonFiniteNumber(in bytes: [UInt8], at offset: Int) -> String? {
        let isNegative = offset > 0 && bytes[offset - 1] == UInt8(ascii: "-")
        let word = ["NaN", "Infinity"].first { bytes[offset...].starts(with: $0.utf8) }
        return word.map { isNegative ? "-" + $0 : $0 }
    }

    // MARK: Text

    private static func isText(_ bytes: [UInt8], _ charset: String?) -> Bool {
        guard bytes.count <= Payload.inlineLimit else { return false }
        switch charset {
        case nil, "utf-8", "utf8", "us-ascii": return String(validating: bytes, as: UTF8.self) != nil
        // In nearly all of the others ASCII is itself; UTF-16 and UTF-32 have zeros.
        default: return bytes.allSatisfy { (1...127).contains($0) }
        }
    }
}
