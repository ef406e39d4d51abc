import Crypto
package import InferqCore

/// A body in a file, to be read piece by piece.
package struct StoredFile: Sendable {
    private let reader: FileReader
    /// SHA-256 of what was stored; nil: it was not kept.
    private let digest: [UInt8]?

    /// Bytes that are held in memory at a time: as many as a socket takes at once.
    private static let pieceLimit = 64 << 10

    fileprivate init(_ reader: FileReader, digest: [UInt8]?) {
        self.reader = reader
        self.digest = digest
    }

    package var byteCount: Int { reader.byteCount }

    /// The first bytes, at most `count`; they are not checked against what was stored.
    package func beginning(_ count: Int) async throws -> [UInt8] {
        try await reader.read(from: 0, count: min(count, byteCount))
    }

    /// Calls `take` with all bytes in their order.
    ///
    /// - Throws: ``StoreError/damaged(reason:)`` before the last piece when the bytes are not those that were stored, so that
    ///   nobody takes them for whole; or what `take` throws.
    package func forEachPiece(_ take: ([UInt8]) async throws -> Void) async throws {
        var hash = SHA256()
        var offset = 0
        while offset < byteCount {
            let piece = try await reader.read(from: offset, count: min(Self.pieceLimit, byteCount - offset))
            guard !piece.isEmpty else { throw Self.damaged }
            hash.update(data: piece)
            offset += piece.count
            if offset >= byteCount, let digest, !digest.elementsEqual(hash.finalize()) { throw Self.damaged }
            try await take(piece)
        }
    }

    private static let damaged = StoreError.damaged(reason: "the file of a body is not as it was written")
}

extension JobStore {
    /// The file of a body that is not in its row; nil for one that is.
    ///
    /// - Throws: as ``bytes(of:)``.
    package func file(of payload: Payload) async throws -> StoredFile? {
        guard case .file(let name) = payload.content else { return nil }
        let reader = try await whileNamed(name) {
            let path = self.blobs.path(of: name)
            guard let reader = try await FileReader.blocking({ try FileReader(path: path) }) else {
                throw StoreError.gone
            }
            return reader
        }
        guard reader.byteCount == payload.byteCount else {
            throw StoreError.damaged(reason: "the file of a body is not as long as it was")
        }
        return StoredFile(reader, digest: payload.digest)
    }
}
