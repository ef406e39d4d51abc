/// The bytes of an input or an output, as they came.
package struct Payload: Sendable, Equatable {
    /// Where the bytes are: small ones in the job's row, larger ones in a file beside the database.
    package enum Content: Sendable, Equatable {
        case inline([UInt8])
        case file(BlobName)
        /// Not read along with the job.
        case unread
    }

    package var content: Content
    package var byteCount: Int
    /// As the sender named it; nil when it named none.
    package var contentType: String?
    /// Whether the bytes are valid JSON, by content type and by grammar.
    package var isJSON: Bool
    /// SHA-256 of the bytes; only there where the record shows it in place of the bytes.
    package var digest: [UInt8]?

    package init(
        content: Content,
        byteCount: Int,
        contentType: String?,
        isJSON: Bool,
        digest: [UInt8]? = nil
    ) {
        self.content = content
        self.byteCount = byteCount
        self.contentType = contentType
        self.isJSON = isJSON
        self.digest = digest
    }

    /// Bodies up to this size lie in the row; larger ones cost less as files (a row is rewritten at each change).
    package static let inlineLimit = 64 * 1024
}

/// The name of a file in `blobs/`, never used twice.
package struct BlobName: Sendable, Hashable {
    package let text: String

    init(text: String) {
        self.text = text
    }
}
