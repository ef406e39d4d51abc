import Foundation
import GRDB

#if canImport(Glibc)
    import Glibc
#endif

/// What a store takes of its disk, in bytes, and what is left there.
package struct StoreSize: Sendable, Equatable {
    package var database = 0
    package var wal = 0
    package var blobs = 0
    package var blobBytes = 0
    package var free = 0
}

extension JobStore {
    /// Looks at the files: linear in the number of blobs, so nothing for a loop.
    package func size() async throws -> StoreSize {
        let (path, blobs) = (pool.path, blobs)
        return try await FileReader.blocking {
            var size = StoreSize()
            size.database = Self.byteCount(path)
            size.wal = Self.byteCount(path + "-wal")
            try blobs.forEach { name in
                size.blobs += 1
                size.blobBytes += Self.byteCount(blobs.path(of: name))
            }
            size.free = FreeSpace.bytes(at: path)
            return size
        }
    }

    private static func byteCount(_ path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : 0
    }
}
