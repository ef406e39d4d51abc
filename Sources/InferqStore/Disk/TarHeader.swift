/// What stands before a file in a tar archive (POSIX.1-2017, pax, "ustar Interchange Format").
struct TarHeader: Sendable, Equatable {
    enum Kind: UInt8 {
        case file = 0x30
        case folder = 0x35
        /// Says of the next file what does not fit into its own header.
        case extended = 0x78
    }

    /// At most 100 bytes of ASCII.
    var name: String
    var kind = Kind.file
    var byteCount = 0
    /// Seconds since 1970.
    var modified: Int
    var owner: UInt32 = 0
    var group: UInt32 = 0

    static let block = 512
    /// Two blocks of zeros.
    static let end = [UInt8](repeating: 0, count: 2 * block)

    /// Eleven octal digits: 8 GiB less one byte.
    private static let largestInOctal = 0o77_777_777_777

    /// The header and, before it, the extended one that a file of 8 GiB and more needs for its size.
    var bytes: [UInt8] {
        guard byteCount > Self.largestInOctal else { return plain(byteCount) }
        let record = Self.record("size", "\(byteCount)")
        let extended = TarHeader(
            name: "PaxHeaders/\(name)", kind: .extended, byteCount: record.count, modified: modified)
        return extended.plain(record.count) + record + Self.padding(after: record.count) + plain(0)
    }

    /// Zeros that fill the last block of a file.
    static func padding(after byteCount: Int) -> [UInt8] {
        [UInt8](repeating: 0, count: (block - byteCount % block) % block)
    }

    /// What the whole entry takes in the archive.
    var entryByteCount: Int {
        bytes.count + byteCount + Self.padding(after: byteCount).count
    }

    /// `LENGTH key=value\n`, where the length counts itself.
    private static func record(_ key: String, _ value: String) -> [UInt8] {
        let rest = " \(key)=\(value)\n"
        var length = rest.utf8.count
        while "\(length)".utf8.count + rest.utf8.count != length { length = "\(length)".utf8.count + rest.utf8.count }
        return Array("\(length)\(rest)".utf8)
    }

    private func plain(_ size: Int) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: Self.block)
        func put(_ text: some Sequence<UInt8>, at offset: Int) {
            for (index, byte) in text.enumerated() { block[offset + index] = byte }
        }
        func put(octal value: Int, digits: Int, at offset: Int) {
            let text = String(value, radix: 8)
            put((String(repeating: "0", count: max(0, digits - text.count)) + text).utf8, at: offset)
        }
        put(name.utf8.prefix(100), at: 0)
        put(octal: kind == .folder ? 0o700 : 0o600, digits: 7, at: 100)
        // Seven digits; a larger id (of a user name space) is left to anyone who unpacks it.
        put(octal: owner <= 0o7_777_777 ? Int(owner) : 0, digits: 7, at: 108)
        put(octal: group <= 0o7_777_777 ? Int(group) : 0, digits: 7, at: 116)
        put(octal: size, digits: 11, at: 124)
        put(octal: max(0, modified), digits: 11, at: 136)
        put([UInt8](repeating: 0x20, count: 8), at: 148)
        block[156] = kind.rawValue
        put("ustar\u{0}00".utf8, at: 257)
        let sum = block.reduce(0) { $0 + Int($1) }
        put(octal: sum, digits: 6, at: 148)
        put([0, 0x20], at: 154)
        return block
    }
}
