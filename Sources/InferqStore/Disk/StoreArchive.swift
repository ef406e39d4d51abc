import GRDB

#if canImport(Glibc)
    import Glibc
#endif

/// A copy of a store as a tar archive: `inferq.db`, then `blobs/` with every blob that it names.
///
/// One form always, also for a store without blobs: anyone who restores it need not know what was in it.
extension StoreCopy {
    /// Bytes that are read and sent at a time.
    private static let piece = 256 << 10

    /// Gives the archive to `send`, ``Figures/archiveBytes`` in all. Blobs that are missing are left out.
    ///
    /// - Throws: ``StoreError`` when a file cannot be read, or what `send` throws; the archive is then cut short.
    package func archive(_ send: ([UInt8]) async throws -> Void) async throws {
        guard let file = try await FileReader.blocking({ [path] in try FileReader(path: path) }) else {
            throw StoreError.failed(reason: "the copy is gone")
        }
        try await entry("inferq.db", file, send)
        try await send(header("blobs/", .folder, byteCount: 0, modified: moment).bytes)
        var last = ""
        while true {
            let page = try await database.read { [last] db in try SQL.blobs(db, after: last, limit: 1000) }
            guard let end = page.last else { break }
            last = end.name.text
            for blob in page {
                let path = blobs.path(of: blob.name)
                guard let file = try await FileReader.blocking({ try FileReader(path: path) }) else { continue }
                try await entry("blobs/\(blob.name.text)", file, send)
            }
        }
        try await send(TarHeader.end)
    }

    private func entry(_ name: String, _ file: FileReader, _ send: ([UInt8]) async throws -> Void) async throws {
        let header = header(name, .file, byteCount: file.byteCount, modified: file.modified).bytes
        var offset = 0
        repeat {
            let bytes = try await file.read(from: offset, count: min(Self.piece, file.byteCount - offset))
            let isFirst = offset == 0
            offset += bytes.count
            guard !bytes.isEmpty || file.byteCount == 0 else {
                throw StoreError.failed(reason: "\(name) became shorter while it was being read")
            }
            let isLast = offset == file.byteCount
            // One send for a small file: most are.
            try await send((isFirst ? header : []) + bytes + (isLast ? TarHeader.padding(after: offset) : []))
        } while offset < file.byteCount
    }

    private func header(_ name: String, _ kind: TarHeader.Kind, byteCount: Int, modified: Int) -> TarHeader {
        TarHeader(
            name: name, kind: kind, byteCount: byteCount, modified: modified, owner: geteuid(), group: getegid()
        )
    }
}
