/// The bytes of an input or an output, as they came.
package struct Payload: Sendable, Equatable {
    /// Where the bytes are: small ones in the job's row, larger ones in a file beside the database.
    package enum Content: Sendable, Equatable {
        case inline([UInt8])
        case file(BlobName)
        /// The answer to one attempt, stored as it came.
        case pieces(PieceRun)
        /// Not read along with the job.
        case unread
    }

    /// How the record shows the bytes. Stored, so never renumbered.
    package enum Form: Int64, Sendable {
        /// By their size and digest.
        case bytes = 0
        /// As they came: valid JSON.
        case json = 1
        /// As a text: UTF-8 of at most ``Payload/inlineLimit`` bytes.
        case text = 2
    }

    package var content: Content
    package var byteCount: Int
    /// As the sender named it; nil when it named none.
    package var contentType: String?
    /// As the model server named it; nil for bytes that are not encoded.
    package var contentEncoding: String?
    package var form: Form
    /// Why an output that claims to be JSON is not shown as JSON; nil when there is nothing to say.
    package var note: String?
    /// SHA-256 of the bytes; only there where the record shows it in place of the bytes.
    package var digest: [UInt8]?
    /// Of an output that answers a call: what its client gets beside the bytes.
    package var head: AnswerHead?

    package init(
        content: Content,
        byteCount: Int,
        contentType: String?,
        form: Form,
        digest: [UInt8]? = nil
    ) {
        self.content = content
        self.byteCount = byteCount
        self.contentType = contentType
        self.form = form
        self.digest = digest
    }

    package var isJSON: Bool { form == .json }

    /// Bodies up to this size are in the row; larger ones cost less as files (a row is rewritten at each change).
    package static let inlineLimit = 64 * 1024
}

/// The name of a file in `blobs/`, never used twice.
package struct BlobName: Sendable, Hashable {
    package let text: String

    package init(text: String) {
        self.text = text
    }
}
