import Foundation
import TestSupport
import Testing

@testable import InferqStore

struct StoreHolderTests {
    private static let list = """
        1: FLOCK  ADVISORY  WRITE 1234 08:01:131090 0 EOF
        1: -> FLOCK  ADVISORY  WRITE 1235 08:01:131090 0 EOF
        2: POSIX  ADVISORY  WRITE 1236 08:01:131090 1073741824 1073742335
        3: FLOCK  ADVISORY  WRITE 1237 08:01:13109 0 EOF
        4: FLOCK  ADVISORY  WRITE 0 08:01:131090 0 EOF
        5: OFDLCK ADVISORY  READ  -1 08:01:131090 0 EOF
        """

    @Test
    func theKernelsListOfLocksNamesTheHolder() {
        #expect(StoreHolder.holders(in: Self.list, inode: 131_090) == [1234])
        #expect(StoreHolder.holders(in: Self.list, inode: 1) == [])
        #expect(StoreHolder.holders(in: "", inode: 1) == [])
    }

    @Test
    func aStoreIsHeldByTheProcessThatHasItsLock() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "inferq-holder-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        // Nothing can be done about a folder that stays behind in the temporary one.
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "inferq.db").path
        #expect(StoreHolder.find(path) == .noOne)
        do {
            let lock = try StoreLock(path: path)
            #expect(StoreHolder.find(path) == .process(getpid()))
            withExtendedLifetime(lock) {}
        }
        #expect(StoreHolder.find(path) == .noOne)
        #expect(StoreHolder.find("/nowhere/inferq.db") == .noOne)
    }

    /// The list is longer then than what the kernel gives at a time, and shows the newest lock first.
    @Test
    func theHolderIsFoundAmongManyLocks() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "inferq-holder-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        // Nothing can be done about a folder that stays behind in the temporary one.
        defer { try? FileManager.default.removeItem(at: folder) }
        let lock = try StoreLock(path: folder.appending(path: "inferq.db").path)
        let others = try (0..<200).map { try StoreLock(path: folder.appending(path: "other\($0).db").path) }
        #expect(StoreHolder.find(folder.appending(path: "inferq.db").path) == .process(getpid()))
        withExtendedLifetime((lock, others)) {}
    }
}
