/// A file of the OpenAI API: one that a client has sent, or that a batch has written.
package struct Upload: OpenAIObject, Equatable {
    package static let ids = HexID(prefix: "file-")
    package static let kind = "file"

    /// What a file is for. Stored, so never renumbered.
    package enum Purpose: Int64, Sendable, CaseIterable {
        case batch = 0
        case batchOutput = 1

        /// As the API has it.
        package var name: String {
            switch self {
            case .batch: "batch"
            case .batchOutput: "batch_output"
            }
        }
    }

    package let id: UUIDv7
    package let client: String
    package let purpose: Purpose
    /// As its sender called it.
    package let fileName: String
    package let byteCount: Int
    package let createdAt: Timestamp
    /// When it goes, as it is shown; nil: when the retention says so.
    package let expiresAt: Timestamp?
    package let blob: BlobName
    /// SHA-256 of the bytes.
    package let digest: [UInt8]

    package init(
        id: UUIDv7, client: String, purpose: Purpose, fileName: String, byteCount: Int, createdAt: Timestamp,
        expiresAt: Timestamp?, blob: BlobName, digest: [UInt8]
    ) {
        self.id = id
        self.client = client
        self.purpose = purpose
        self.fileName = fileName
        self.byteCount = byteCount
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.blob = blob
        self.digest = digest
    }

    /// As a body that is read in pieces.
    package var payload: Payload {
        Payload(content: .file(blob), byteCount: byteCount, contentType: nil, form: .bytes, digest: digest)
    }

    /// `File` of the API.
    package func write(to writer: inout JSONWriter) {
        writer.beginObject()
        writer.name("id")
        writer.value(name)
        writer.name("object")
        writer.value(Self.kind)
        writer.name("bytes")
        writer.value(byteCount)
        writer.name("created_at")
        writer.value(createdAt.milliseconds / 1000)
        if let expiresAt {
            writer.name("expires_at")
            writer.value(expiresAt.milliseconds / 1000)
        }
        writer.name("filename")
        writer.value(fileName)
        writer.name("purpose")
        writer.value(purpose.name)
        writer.name("status")
        writer.value("processed")
        writer.endObject()
    }
}
