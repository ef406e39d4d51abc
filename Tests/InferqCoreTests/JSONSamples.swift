import TestSupport

/// A JSON value that a test made up, and the many ways to write it down.
indirect enum JSONSample: Equatable {
    case null
    case bool(Bool)
    /// As it is to be written.
    case number(String)
    case string(String)
    case array([JSONSample])
    case object([(name: String, value: JSONSample)])

    static func == (left: Self, right: Self) -> Bool {
        switch (left, right) {
        case (.null, .null): true
        case (.bool(let left), .bool(let right)): left == right
        case (.number(let left), .number(let right)): left == right
        case (.string(let left), .string(let right)): left.utf8.elementsEqual(right.utf8)
        case (.array(let left), .array(let right)): left == right
        case (.object(let left), .object(let right)):
            left.elementsEqual(right) { $0.name.utf8.elementsEqual($1.name.utf8) && $0.value == $1.value }
        default: false
        }
    }

    static func random(_ numbers: inout SplitMix64, depth: Int = 4) -> JSONSample {
        switch Int.random(in: 0..<(depth > 0 ? 8 : 5), using: &numbers) {
        case 0: return .null
        case 1: return .bool(.random(using: &numbers))
        case 2: return .number(randomNumber(&numbers))
        case 3, 4: return .string(randomString(&numbers))
        case 5: return randomObject(&numbers, depth: depth)
        default:
            let count = Int.random(in: 0..<5, using: &numbers)
            return .array((0..<count).map { _ in random(&numbers, depth: depth - 1) })
        }
    }

    /// An object whose names differ from each other.
    static func randomObject(_ numbers: inout SplitMix64, depth: Int = 4) -> JSONSample {
        var names: Set<String> = []
        for _ in 0..<Int.random(in: 0..<6, using: &numbers) { names.insert(randomString(&numbers)) }
        // A set's order differs from run to run, even with the same seed.
        return .object(names.sorted().map { ($0, random(&numbers, depth: depth - 1)) })
    }

    /// The text with random white space, and with some of its characters escaped in one of the ways there are.
    func written(_ numbers: inout SplitMix64) -> [UInt8] {
        var text = Self.randomSpace(&numbers)
        write(to: &text, &numbers)
        text += Self.randomSpace(&numbers)
        return Array(text.utf8)
    }

    private func write(to text: inout String, _ numbers: inout SplitMix64) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .number(let digits): text += digits
        case .string(let value): Self.write(value, to: &text, &numbers)
        case .array(let elements):
            text += "[" + Self.randomSpace(&numbers)
            for (index, element) in elements.enumerated() {
                if index > 0 { text += "," + Self.randomSpace(&numbers) }
                element.write(to: &text, &numbers)
                text += Self.randomSpace(&numbers)
            }
            text += "]"
        case .object(let members):
            text += "{" + Self.randomSpace(&numbers)
            for (index, member) in members.enumerated() {
                if index > 0 { text += "," + Self.randomSpace(&numbers) }
                Self.write(member.name, to: &text, &numbers)
                text += Self.randomSpace(&numbers) + ":" + Self.randomSpace(&numbers)
                member.value.write(to: &text, &numbers)
                text += Self.randomSpace(&numbers)
            }
            text += "}"
        }
    }

    private static func write(_ value: String, to text: inout String, _ numbers: inout SplitMix64) {
        let short: [Unicode.Scalar: String] = [
            "\"": "\\\"", "\\": "\\\\", "/": "\\/", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\u{8}": "\\b",
            "\u{C}": "\\f",
        ]
        text += "\""
        for scalar in value.unicodeScalars {
            let mustEscape = scalar.value < 0x20 || scalar == "\"" || scalar == "\\"
            let choice = Int.random(in: mustEscape ? 6..<10 : 0..<10, using: &numbers)
            if choice < 7, !mustEscape {
                text.unicodeScalars.append(scalar)
            } else if choice < 8, let escape = short[scalar] {
                text += escape
            } else {
                for unit in String(scalar).utf16 {
                    let digits = String(unit, radix: 16, uppercase: choice == 8)
                    text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                }
            }
        }
        text += "\""
    }

    // Without U+FEFF, which Foundation loses where it follows an escape.
    private static func randomString(_ numbers: inout SplitMix64) -> String {
        let alphabet: [Unicode.Scalar] = [
            "a", "z", "0", " ", "~", "/", "\"", "\\", "'", "{", "]", ",", ":", "\u{0}", "\n", "\t", "\u{1F}", "\u{7F}",
            "\u{80}", "\u{85}", "\u{E9}", "\u{301}", "\u{7FF}", "\u{800}", "\u{2028}", "\u{D7FF}", "\u{E000}",
            "\u{FFFF}", "\u{10000}", "\u{1F600}", "\u{10FFFF}",
        ]
        var value = String.UnicodeScalarView()
        let plainest = Bool.random(using: &numbers)
        for _ in 0..<Int.random(in: 0..<24, using: &numbers) {
            value.append(alphabet[Int.random(in: 0..<(plainest ? 5 : alphabet.count), using: &numbers)])
        }
        return String(value)
    }

    private static func randomNumber(_ numbers: inout SplitMix64) -> String {
        var digits = Bool.random(using: &numbers) ? "-" : ""
        digits += String(Int.random(in: 0..<100_000, using: &numbers))
        if Bool.random(using: &numbers) { digits += "." + String(Int.random(in: 0..<1000, using: &numbers)) }
        if Bool.random(using: &numbers) {
            digits += ["e", "E", "e+", "E-"][Int.random(in: 0..<4, using: &numbers)]
            digits += String(Int.random(in: 0..<20, using: &numbers))
        }
        return digits
    }

    private static func randomSpace(_ numbers: inout SplitMix64) -> String {
        guard Int.random(in: 0..<3, using: &numbers) == 0 else { return "" }
        let spaces: [Character] = [" ", "\n", "\t", "\r"]
        return String(
            (0..<Int.random(in: 1..<12, using: &numbers)).map { _ in
                spaces[Int.random(in: 0..<4, using: &numbers)]
            }
        )
    }
}
