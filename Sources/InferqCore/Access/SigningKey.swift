import Crypto

/// What a store signs with, so that it knows its own words again: made with it and kept in it.
package struct SigningKey: Sendable {
    /// Has taken in the secret: what is left for each text is its own bytes.
    private let begun: HMAC<SHA256>

    /// - Parameter secret: 32 bytes or more that no one can guess.
    package init(_ secret: [UInt8]) {
        begun = HMAC(key: SymmetricKey(data: secret))
    }

    /// The HMAC-SHA256 (RFC 2104) of a text's bytes.
    ///
    /// - Parameter byteCount: how many of its 32 bytes are wanted, from the first on.
    package func code(of text: String, byteCount: Int) -> [UInt8] {
        var code = begun
        code.update(data: Array(text.utf8))
        return code.finalize().withUnsafeBytes { Array($0.prefix(byteCount)) }
    }
}
