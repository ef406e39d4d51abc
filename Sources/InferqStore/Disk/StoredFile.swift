import Crypto
package import InferqCore

/// A large body, to be read piece by piece.
package struct StoredFile: Sendable {
    private enum Source: Sendable {
        case file(FileReader)
        case pieces(PieceRun, JobStore)
    }

    private let source: Source
    package let byteCount: Int
    /// SHA-256 of what was stored; nil: it was not kept.
    private let digest: [UInt8]?

    /// Bytes that are held in memory at a time: as many as a socket takes at once.
    private static let pieceLimit = 64 << 10

    fileprivate init(_ reader: FileReader, digest: [UInt8]?) {
        source = .file(reader)
        byteCount = reader.byteCount
        self.digest = digest
    }

    fileprivate init(_ run: PieceRun, byteCount: Int, digest: [UInt8]?, _ store: JobStore) {
        source = .pieces(run, store)
        self.byteCount = byteCount
        self.digest = digest
    }

    /// The first bytes, at most `count`; they are not checked against what was stored.
    package func beginning(_ count: Int) async throws -> [UInt8] {
        switch source {
        case .file(let reader): return try await reader.read(from: 0, count: min(count, byteCount))
        case .pieces(let run, let store):
            let page = try await store.page(at: StreamCursor(run, byte: 0), byteLimit: count)
            return Array(page?.bytes.prefix(count) ?? [])
        }
    }

    /// Calls `take` with all bytes in their order.
    ///
    /// - Throws: ``StoreError/damaged(reason:)`` before the last piece when the bytes are not those that were stored, so that
    ///   no one takes them for whole; or what `take` throws.
    package func forEachPiece(_ take: ([UInt8]) async throws -> Void) async throws {
        var hash = SHA256()
        var offset = 0
        let next = self.next
        while offset < byteCount {
            let piece = try await next(offset)
            guard !piece.isEmpty else { throw try await missing }
            hash.update(data: piece)
            offset += piece.count
            if offset >= byteCount, let digest, !digest.elementsEqual(hash.finalize()) { throw Self.damaged }
            try await take(piece)
        }
    }

    /// Reads the bytes from an offset on, some at a time, in order.
    private var next: (Int) async throws -> [UInt8] {
        switch source {
        case .file(let reader):
            return { try await reader.read(from: $0, count: min(Self.pieceLimit, byteCount - $0)) }
        case .pieces(let run, let store):
            var cursor = StreamCursor(run, byte: 0)
            return { _ in
                guard let page = try await store.page(at: cursor, byteLimit: Self.pieceLimit) else { return [] }
                cursor = page.next
                return page.bytes
            }
        }
    }

    /// Why bytes are missing.
    private var missing: StoreError {
        get async throws {
            switch source {
            case .file: Self.damaged
            case .pieces(let run, let store): try await store.missing(run)
            }
        }
    }

    private static let damaged = StoreError.damaged(reason: "the file of a body does not match what was written")
}

extension JobStore {
    /// A body that is not in its row, or a large answer that was stored as it came; nil for any other.
    ///
    /// - Throws: as ``bytes(of:)``.
    package func file(of payload: Payload) async throws -> StoredFile? {
        if case .pieces(let run) = payload.content, payload.byteCount > Payload.inlineLimit {
            return StoredFile(run, byteCount: payload.byteCount, digest: payload.digest, self)
        }
        guard case .file(let name) = payload.content else { return nil }
        let reader = try await whileNamed(name) {
            let path = self.blobs.path(of: name)
            guard let reader = try await FileReader.blocking({ try FileReader(path: path) }) else {
                throw StoreError.gone
            }
            return reader
        }
        guard reader.byteCount == payload.byteCount else {
            throw StoreError.damaged(reason: "the file of a body no longer has its original length")
        }
        return StoredFile(reader, digest: payload.digest)
    }
}
