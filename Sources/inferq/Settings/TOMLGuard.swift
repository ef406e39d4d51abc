/// Finds text over which TOMLKit would stop the whole program instead of reporting an error.
///
/// Its parser (toml++ 3.4) asserts, in release builds too, that a name follows the bracket of a table's header, that
/// no `}` and no foreign white space stands where a list's item should, and that no lone digit follows a date and a
/// space. A broken file must not end a running gateway, so these are found first. Only strings, comments and brackets
/// are told apart here; everything else is left to the parser. Past the first error of the parser it does not matter
/// what this finds.
struct TOMLGuard {
    struct Fault: Error, Equatable {
        var line: Int
        /// In characters, from 1.
        var column: Int
        var what: String
    }

    private let bytes: [UInt8]
    private var index = 0
    private var line = 1
    private var lineStart = 0
    /// Brackets and braces that have not been closed.
    private var open: [UInt8] = []

    init(_ text: String) {
        bytes = Array(text.utf8)
        if bytes.starts(with: "\u{FEFF}".utf8) {
            index = 3
            lineStart = 3
        }
    }

    mutating func check() throws(Fault) {
        var isLineStart = true
        while let byte = byte(at: index) {
            switch byte {
            case newline:
                step()
                isLineStart = true
                continue
            case space, tab:
                guard !isDigit(index - 1) || !isDigit(index + 1) else {
                    throw fault("expected the end of the line after a number or a date")
                }
                step()
                continue
            case UInt8(ascii: "#"):
                while let byte = self.byte(at: index), byte != newline { step() }
            case quote, apostrophe:
                skipString(byte)
            case bracket where isLineStart && open.isEmpty:
                try skipHeader()
            case bracket, brace:
                open.append(byte)
                step()
            case UInt8(ascii: "]"), UInt8(ascii: "}"):
                // In ASCII a closing bracket comes two places after its opening one.
                guard open.popLast() == byte - 2 else {
                    throw fault("'\(Character(Unicode.Scalar(byte)))' does not close anything")
                }
                step()
            case 0x21...0x7E, UInt8(ascii: "\r"):
                step()
            default:
                throw fault("this character must be inside quotation marks")
            }
            isLineStart = false
        }
    }

    /// Passes the `[` or `[[` of a header; what follows is checked as the inside of a list, which ends alike.
    private mutating func skipHeader() throws(Fault) {
        open.append(bracket)
        step()
        if byte(at: index) == bracket {
            open.append(bracket)
            step()
        }
        while byte(at: index) == space || byte(at: index) == tab { step() }
        guard let next = byte(at: index), next.isLetterOrDigit || "_-\"']".utf8.contains(next) else {
            throw fault("expected the name of a table after [")
        }
    }

    /// Passes a string of any of the four kinds; one that lacks its end ends with its line, and the parser says so.
    private mutating func skipString(_ mark: UInt8) {
        let isLong = byte(at: index + 1) == mark && byte(at: index + 2) == mark
        for _ in 0..<(isLong ? 3 : 1) { step() }
        while let byte = byte(at: index) {
            if byte == UInt8(ascii: "\\") && mark == quote {
                step()
                step()
            } else if isLong && byte == mark && self.byte(at: index + 1) == mark && self.byte(at: index + 2) == mark {
                // Up to two more marks are the end of the text.
                for _ in 0..<5 where self.byte(at: index) == mark { step() }
                return
            } else if !isLong && (byte == mark || byte == newline) {
                if byte == mark { step() }
                return
            } else {
                step()
            }
        }
    }

    private mutating func step() {
        guard let byte = byte(at: index) else { return }
        index += 1
        if byte == newline {
            line += 1
            lineStart = index
        }
    }

    private func byte(at index: Int) -> UInt8? {
        bytes.indices.contains(index) ? bytes[index] : nil
    }

    private func isDigit(_ index: Int) -> Bool {
        guard let byte = byte(at: index) else { return false }
        return (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    private func fault(_ what: String) -> Fault {
        let characters = bytes[lineStart..<index].count { $0 & 0xC0 != 0x80 }
        return Fault(line: line, column: characters + 1, what: what)
    }

    private var newline: UInt8 { UInt8(ascii: "\n") }
    private var space: UInt8 { UInt8(ascii: " ") }
    private var tab: UInt8 { UInt8(ascii: "\t") }
    private var quote: UInt8 { UInt8(ascii: "\"") }
    private var apostrophe: UInt8 { UInt8(ascii: "'") }
    private var bracket: UInt8 { UInt8(ascii: "[") }
    private var brace: UInt8 { UInt8(ascii: "{") }
}
