/// What the store must know; the configuration's reader has checked it.
package struct StoreSettings: Sendable, Equatable {
    package enum Synchronous: String, Sendable, CaseIterable {
        /// Every commit is synced before it is acknowledged.
        case full
        /// A power cut may lose the last moments; a crash of the program never does.
        case normal
    }

    /// What the store is on: the defaults of some other settings follow from it.
    package enum Profile: String, Sendable, CaseIterable {
        case standard
        /// An SD card, or another medium that few writes are good for.
        case flash
    }

    package var path: String
    package var profile = Profile.standard
    package var synchronous = Synchronous.full
    /// Bytes of a page of a new store, a power of two; an existing one keeps its own.
    ///
    /// A commit writes whole pages, of which it changes a few bytes each: `Benchmarks/pages.py` shows what that comes to.
    package var pageSize = 2048
    /// Connections for reading: more do not help on a small host, and each has a page cache of its own.
    package var readers = 4
    /// Bytes that the write-ahead log is cut back to.
    package var walLimit = 64 << 20
    /// Free bytes of the disk below which submits are refused; it may change while the store is open
    /// (``DiskGuard/minFree``).
    package var minFree = 256 << 20
    /// Bytes held in reserve for a full disk, at most 1/16 of the file system.
    package var ballast = 64 << 20

    package init(path: String = "/var/lib/inferq/inferq.db") {
        self.path = path
    }

    /// Bytes of write-ahead log after which a checkpoint runs. What commits add while one runs has room up to the limit.
    var checkpointBytes: Int { walLimit / 4 }
}
