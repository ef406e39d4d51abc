import InferqCore

extension String {
    /// The text with everything escaped that could move the cursor, cut the line or turn the direction of writing, so
    /// that what a stranger wrote cannot forge a line of a log or of an error message.
    ///
    /// - Parameter limit: Characters that are kept; an ellipsis says that some were cut.
    func visible(limit: Int = 4096) -> String {
        var result = ""
        var kept = 0
        for scalar in unicodeScalars {
            if kept == limit { return result + "…" }
            kept += 1
            switch scalar {
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.isInvisible: result += scalar.escape
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// ``visible(limit:)`` between quotation marks.
    func quoted(limit: Int = 60) -> String {
        "\"" + visible(limit: limit).replacing("\"", with: "\\\"") + "\""
    }

    /// The text with what looks like a client's key, or like the hash of one, cut short: neither belongs in a log.
    func withoutKeys() -> String {
        var result = ""
        var word = ""
        for scalar in unicodeScalars {
            if scalar.isASCII && (UInt8(ascii: scalar).isLetterOrDigit || scalar == "_") {
                word.unicodeScalars.append(scalar)
            } else {
                result += word.withoutKey
                word = ""
                result.unicodeScalars.append(scalar)
            }
        }
        return result + word.withoutKey
    }

    /// Of one word.
    private var withoutKey: String {
        if let prefix = firstRange(of: AccessKey.prefix), self[prefix.upperBound...].utf8.count >= 8 {
            return self[..<prefix.upperBound] + "***"
        }
        let isHash = utf8.count >= 32 && utf8.allSatisfy { "0123456789abcdef".utf8.contains($0) }
        return isHash ? prefix(8) + "***" : self
    }
}

extension Unicode.Scalar {
    /// Control characters, line separators and the marks that turn the direction of writing.
    var isInvisible: Bool {
        switch value {
        case 0...0x1F, 0x7F...0x9F, 0x061C, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069, 0xFEFF: true
        default: false
        }
    }

    /// `\u` and four hexadecimal digits, as JSON has it; no invisible character is past the first plane.
    var escape: String {
        let digits = String(value, radix: 16)
        return "\\u" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}
