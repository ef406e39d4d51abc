import Crypto
import InferqCore

/// The UUID of a model: version 5 of RFC 9562, of the URN `urn:inferq:model:NAME`, so it is the same forever and
/// everywhere.
enum ModelID {
    /// That of URLs: RFC 9562, section 6.6.
    private static let namespace: [UInt8] = [
        0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8,
    ]

    static func of(_ name: String) -> UUIDv7 {
        var hash = Insecure.SHA1()
        hash.update(data: namespace)
        hash.update(data: Array("urn:inferq:model:\(name)".utf8))
        let digest = Array(hash.finalize())
        func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        let version: UInt64 = 5 << 12
        let variant: UInt64 = 0b10 << 62
        return UUIDv7(
            high: number(digest[0..<8]) & ~0xF000 | version,
            low: number(digest[8..<16]) & ~(0b11 << 62) | variant
        )
    }

    /// The name among `names` that a client means by `text`: the one with this id, or the one that it is.
    static func name(_ text: String, among names: [String]) -> String? {
        if let id = UUIDv7(text), let name = names.first(where: { of($0) == id }) { return name }
        return names.first { $0 == text }
    }
}
