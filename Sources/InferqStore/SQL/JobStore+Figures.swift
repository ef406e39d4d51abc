import Foundation
import GRDB

/// What operators watch of the store.
extension JobStore {
    /// Sizes on disk, in bytes; nil where the file system does not tell.
    package struct DiskFigures: Sendable, Equatable {
        package var database: Int?
        package var wal: Int?
        /// What the file system has left for this process.
        package var free: Int?
    }

    /// Asks the file system, not the database: it answers while the writer is stuck.
    package var diskFigures: DiskFigures {
        DiskFigures(
            database: Self.size(of: pool.path), wal: Self.size(of: pool.path + "-wal"), free: Self.free(at: pool.path)
        )
    }

    package var commitMetrics: CommitMetrics { commits.metrics }

    private static func size(of path: String) -> Int? {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : nil
    }

    private static func free(at path: String) -> Int? {
        var status = statvfs()
        return statvfs(path, &status) == 0 ? Int(status.f_bavail) * Int(status.f_frsize) : nil
    }
}
