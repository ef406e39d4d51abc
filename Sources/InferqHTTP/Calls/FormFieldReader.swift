/// Reads some fields of a form (`application/x-www-form-urlencoded`) from its bytes as they come.
struct FormFieldReader {
    private let names: Set<String>
    private var name: [UInt8] = []
    /// Nil before the equals sign.
    private var value: [UInt8]?
    private var ended: [String: String] = [:]

    init(_ names: [String]) {
        self.names = Set(names)
    }

    /// By the fields' names.
    var values: [String: String] {
        var values = ended
        if let (name, value) = field { values[name] = value }
        return values
    }

    mutating func read(_ bytes: Span<UInt8>) {
        for index in bytes.indices {
            let byte = bytes[index]
            switch byte {
            case UInt8(ascii: "&"):
                if let (name, value) = field { ended[name] = value }
                name = []
                value = nil
            case UInt8(ascii: "=") where value == nil: value = []
            default: keep(byte)
            }
        }
    }

    private mutating func keep(_ byte: UInt8) {
        if value == nil {
            if name.count <= NameLimit.byteCount { name.append(byte) }
        } else if let count = value?.count, count <= NameLimit.byteCount {
            value?.append(byte)
        }
    }

    /// The field that is being read, if it is wanted.
    private var field: (String, String)? {
        guard let value, value.count <= NameLimit.byteCount, name.count <= NameLimit.byteCount else { return nil }
        let name = Self.decoded(name)
        return names.contains(name) ? (name, Self.decoded(value)) : nil
    }

    private static func decoded(_ bytes: [UInt8]) -> String {
        let spaced = bytes.map { $0 == UInt8(ascii: "+") ? UInt8(ascii: " ") : $0 }
        return String(decoding: spaced, as: UTF8.self).decodingEscapes
    }
}
