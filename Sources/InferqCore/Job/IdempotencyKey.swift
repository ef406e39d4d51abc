import Crypto

/// A client's promise that requests with the same key are one request.
package struct IdempotencyKey: Sendable, Equatable {
    /// 1 to 255 visible ASCII characters.
    package let text: String
    /// SHA-256 of the request: content type, query and body.
    package let digest: [UInt8]

    /// Whether a text can be a key. The store keeps it as it is, so it is not the secret of a client.
    package static func isValid(_ text: String) -> Bool {
        (1...255).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
            && AccessKey(text) == nil
    }

    package init(_ text: String, contentType: String?, query: String?, body: [UInt8]) {
        self.init(text, contentType: contentType, query: query, bodyDigest: Array(SHA256.hash(data: body)))
    }

    /// - Parameter bodyDigest: SHA-256 of the body.
    package init(_ text: String, contentType: String?, query: String?, bodyDigest: [UInt8]) {
        self.text = text
        var hash = SHA256()
        // Lengths in between: no two different requests give the same bytes.
        for part in [Array((contentType ?? "").utf8), Array((query ?? "").utf8), bodyDigest] {
            withUnsafeBytes(of: UInt64(part.count).bigEndian) { hash.update(bufferPointer: $0) }
            hash.update(data: part)
        }
        digest = Array(hash.finalize())
    }
}
