import Foundation
import GRDB
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// The checksum at the end of each page.
@Suite(.timeLimit(.minutes(10)))
struct PageSealTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    static let sizes = [512, 1024, 2048, 4096, 8192, 65_536]

    private func seal(_ page: [UInt8], at offset: Int64 = 4096) -> UInt64 {
        page.withUnsafeBytes { $0.baseAddress.map { PageSeal.seal($0, page.count, at: offset) } ?? 0 }
    }

    @Test(arguments: sizes)
    func everyFlippedBitChangesTheSeal(of count: Int) {
        var page = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let whole = seal(page)
        for position in 0..<count - 8 {
            page[position] ^= 1 << UInt8(position % 8)
            #expect(seal(page) != whole)
            page[position] ^= 1 << UInt8(position % 8)
        }
        #expect(seal(page) == whole)
    }

    @Test
    func aPageInAnotherPagesPlaceIsNotTaken() {
        let page = [UInt8](repeating: 5, count: 4096)
        #expect(seal(page, at: 4096) != seal(page, at: 8192))
    }

    @Test(arguments: sizes)
    func everyPageOfAStoreIsSealed(_ size: Int) async throws {
        var settings = StoreSettings.sample(folder.store)
        settings.pageSize = size
        let store = try JobStore(settings, models: [Job.sample().model], bootID: "boot") { Issue.record("\($0)") }
        for number in 0..<50 { try await store.insert(.sample(Int64(number))) }
        await store.close()
        let bytes = try #require(FileManager.default.contents(atPath: folder.store))
        #expect(bytes[20] == 16)
        #expect(Int(bytes[16]) << 8 + Int(bytes[17]) == (size == 65_536 ? 1 : size))
        #expect(bytes.count > 20 * size)
        for start in stride(from: 0, to: bytes.count, by: size) {
            let page = [UInt8](bytes[start..<start + size])
            let found = page.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: size - 8, as: UInt64.self) }
            #expect(found == seal(page, at: Int64(start)))
        }
    }

    /// A store that another version has made keeps the size of its pages, whatever the settings say now.
    @Test
    func aStoreWithPagesOfAnotherSizeGoesOn() async throws {
        var settings = StoreSettings.sample(folder.store)
        let models = [Job.sample().model]
        for size in [4096, 1024] {
            settings.pageSize = size
            let store = try JobStore(settings, models: models, bootID: "boot") { Issue.record("\($0)") }
            for number in 0..<20 { try await store.insert(.sample(Int64(size + number))) }
            #expect(try await store.pool.read { try Int.fetchOne($0, sql: "PRAGMA page_size") } == 4096)
            let copy = try await store.copy()
            #expect(copy.figures.databaseBytes.isMultiple(of: 4096))
            await store.close()
        }
    }

    @Test
    func aCopyThatSQLiteMakesIsSealedToo() async throws {
        let copy = folder.path + "/copy.db"
        let job = try await withStore(in: folder) { store in
            // More than the cache of the copy holds, so that pages are written before the first one is.
            let input = Payload.json(String(repeating: "1", count: 60_000))
            var job = try await store.insert(.sample(input: input))
            for number in 1..<200 { job = try await store.insert(.sample(Int64(number), input: input)) }
            try await store.pool.writeWithoutTransaction { db in
                try db.execute(sql: "VACUUM INTO ?", arguments: [copy])
            }
            return job
        }
        try FileManager.default.removeItem(atPath: folder.store)
        try FileManager.default.moveItem(atPath: copy, toPath: folder.store)
        try await withStore(in: folder) { store in
            #expect(try await store.job(job.id)?.id == job.id)
            let found = try await store.pool.read { try String.fetchOne($0, sql: "PRAGMA integrity_check") }
            #expect(found == "ok")
        }
    }

    /// SQLite's cksumvfs takes a database with eight reserved bytes a page for one of its own.
    @Test
    func aStoreIsNotTakenForOneOfCksumvfs() async throws {
        try await withStore(in: folder) { _ in }
        let header = try #require(FileManager.default.contents(atPath: folder.store)).prefix(100)
        #expect(header[20] == 16)
    }

    @Test
    func aDatabaseWithoutRoomForSealsIsLeftAlone() throws {
        PageSeal.install
        let path = folder.path + "/theirs.db"
        let queue = try DatabaseQueue(path: path)
        try queue.write { db in
            try db.execute(sql: "CREATE TABLE note (text TEXT)")
            // Fills its pages to the last byte.
            try db.execute(sql: "INSERT INTO note VALUES (?)", arguments: [String(repeating: "n", count: 100_000)])
        }
        try queue.close()
        let text = try DatabaseQueue(path: path).read { try String.fetchOne($0, sql: "SELECT text FROM note") }
        #expect(text == String(repeating: "n", count: 100_000))
    }

    @Test
    func aDamagedPageIsAnErrorOfThoseWhoReadItAlone() async throws {
        let text = String(repeating: "w", count: 50_000)
        let (sound, damaged) = try await withStore(in: folder) { store in
            let sound = try await store.insert(.sample(0))
            return (sound, try await store.insert(.sample(1, input: .json(text))))
        }
        var bytes = try #require(FileManager.default.contents(atPath: folder.store))
        // The last such run: in a page that holds nothing but this text.
        let place = try #require(bytes.range(of: Data(text.utf8.prefix(1500)), options: .backwards)).lowerBound
        bytes[place + 100] ^= 1
        try bytes.write(to: URL(fileURLWithPath: folder.store))
        try await withStore(in: folder) { store in
            #expect(try await store.job(sound.id)?.id == sound.id)
            #expect(try await store.head(damaged.id)?.id == damaged.id)
            await #expect(throws: StoreError.damaged(reason: "the checksum of a page is wrong")) {
                try await store.job(damaged.id)
            }
            try await store.insert(.sample(2))
        }
    }
}
