/// Where a value stands in the text of a TOML file that the parser takes.
struct TOMLPlaces {
    /// Where the lines of the table begin, behind its header.
    let tableStart: Int
    /// The bytes of the value; nil if the table lacks the key.
    private(set) var value: Range<Int>?
    /// Of a list of tables, the bytes of each; nil for any other value.
    private(set) var items: [Range<Int>]?

    /// Nil if the text has no header of this table, as it may in other ways of writing one.
    init?(_ text: String, table: [String], key: String) {
        var scanner = Scanner(text)
        var start: Int?
        var isInside = false
        while let statement = scanner.next() {
            switch statement {
            case .header(let path, let end):
                isInside = path == table
                if isInside { start = end }
            case .value(let path, let range, let items):
                guard isInside, path == [key] else { continue }
                value = range
                self.items = items
            }
        }
        guard let start else { return nil }
        tableStart = start
    }

    private enum Statement {
        case header([String], end: Int)
        case value([String], Range<Int>, items: [Range<Int>]?)
    }

    private struct Scanner {
        private let bytes: [UInt8]
        private var index = 0

        init(_ text: String) {
            bytes = Array(text.utf8)
            if bytes.starts(with: "\u{FEFF}".utf8) { index = 3 }
        }

        private var byte: UInt8? { index < bytes.count ? bytes[index] : nil }

        mutating func next() -> Statement? {
            while let byte {
                switch byte {
                case UInt8(ascii: "#"): skipLine()
                case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"), UInt8(ascii: "\n"): index += 1
                case UInt8(ascii: "["): return header()
                default: return assignment()
                }
            }
            return nil
        }

        private mutating func header() -> Statement {
            index += 1
            let path = path(until: UInt8(ascii: "]"))
            skipLine()
            return .header(path, end: index)
        }

        private mutating func assignment() -> Statement {
            let path = path(until: UInt8(ascii: "="))
            while byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") { index += 1 }
            let start = index
            let isList = byte == UInt8(ascii: "[")
            var items: [Range<Int>] = []
            var opened: [Int] = []
            var end = start
            while let byte, !(opened.isEmpty && (byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "#"))) {
                switch byte {
                case UInt8(ascii: "#"): skipLine()
                case UInt8(ascii: "\""), UInt8(ascii: "'"): skipString(byte)
                case UInt8(ascii: "["), UInt8(ascii: "{"):
                    opened.append(index)
                    index += 1
                case UInt8(ascii: "]"), UInt8(ascii: "}"):
                    index += 1
                    if let begin = opened.popLast(), opened.count == 1, byte == UInt8(ascii: "}") {
                        items.append(begin..<index)
                    }
                default: index += 1
                }
                if ![UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r")].contains(byte) { end = index }
            }
            return .value(path, start..<end, items: isList ? items : nil)
        }

        /// Names with dots between them, up to a mark that is passed.
        private mutating func path(until mark: UInt8) -> [String] {
            var path: [String] = []
            var name: [UInt8] = []
            while let byte, byte != mark, byte != UInt8(ascii: "\n") {
                switch byte {
                case UInt8(ascii: "."):
                    path.append(String(decoding: name, as: UTF8.self))
                    name = []
                    index += 1
                case UInt8(ascii: "\""), UInt8(ascii: "'"):
                    let start = index + 1
                    skipString(byte)
                    // An escape in it leaves a name that is not found.
                    name += bytes[start..<max(start, index - 1)]
                case UInt8(ascii: " "), UInt8(ascii: "\t"): index += 1
                default:
                    name.append(byte)
                    index += 1
                }
            }
            index = min(index + 1, bytes.count)
            return path + [String(decoding: name, as: UTF8.self)]
        }

        private mutating func skipLine() {
            while let byte {
                index += 1
                if byte == UInt8(ascii: "\n") { return }
            }
        }

        /// Passes a string of any of the four kinds.
        private mutating func skipString(_ mark: UInt8) {
            let isLong = bytes[index...].starts(with: [mark, mark, mark])
            index += isLong ? 3 : 1
            while let byte {
                if byte == UInt8(ascii: "\\") && mark == UInt8(ascii: "\"") {
                    index = min(index + 2, bytes.count)
                } else if byte != mark || (isLong && !bytes[index...].starts(with: [mark, mark, mark])) {
                    index += 1
                } else {
                    index += isLong ? 3 : 1
                    // Up to two more marks are the end of the text.
                    while isLong, self.byte == mark { index += 1 }
                    return
                }
            }
        }
    }
}
