import Foundation
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// The room that is left on the disk, and the reserve.
@Suite(.timeLimit(.minutes(10)))
struct DiskGuardTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func settings(minFree: Int, ballast: Int = 0) -> StoreSettings {
        var settings = StoreSettings(path: folder.store)
        settings.minFree = minFree
        settings.ballast = ballast
        return settings
    }

    private func blocks() throws -> Int {
        var status = stat()
        try #require(stat(folder.store + ".ballast", &status) == 0)
        return Int(status.st_blocks) * 512
    }

    @Test
    func aDiskWithLessThanMinFreeIsShort() {
        #expect(DiskGuard(settings(minFree: 1 << 50)).isShort)
        #expect(!DiskGuard(settings(minFree: 1)).isShort)
        #expect(!DiskGuard(settings(minFree: 0)).isShort)
    }

    @Test
    func theReserveIsReallyAllocatedAndGivenUpOnce() async throws {
        let disk = DiskGuard(settings(minFree: 1, ballast: 1 << 20))
        #expect(!disk.giveUpBallast())
        await disk.tend()
        #expect(try blocks() >= 1 << 20)
        #expect(disk.giveUpBallast())
        #expect(try blocks() == 0)
        #expect(!disk.giveUpBallast())
    }

    @Test
    func theReserveOfAnEarlierProcessIsHeld() async throws {
        await DiskGuard(settings(minFree: 1, ballast: 1 << 20)).tend()
        #expect(DiskGuard(settings(minFree: 1, ballast: 1 << 20)).giveUpBallast())
    }

    @Test
    func theReserveIsNotTakenFromADiskThatIsShort() async throws {
        let disk = DiskGuard(settings(minFree: 1 << 50, ballast: 1 << 20))
        await disk.tend()
        #expect(!FileManager.default.fileExists(atPath: folder.store + ".ballast"))
    }

    @Test
    func anOutcomeThatFindsNoRoomTakesTheReserve() async throws {
        let store = try JobStore(
            settings(minFree: 0, ballast: 1 << 20), models: ["a"], bootID: "boot"
        ) { _ in }
        await store.disk.tend()
        let bed = try CommitBed(onFull: store.disk.giveUpBallast)
        try await bed.leave(pages: 0)
        await #expect(throws: StoreError.full) {
            try await bed.commits.perform(.submit, CommitBed.insert("submit", byteCount: 40_960))
        }
        #expect(try blocks() >= 1 << 20)
        await #expect(throws: StoreError.full) {
            try await bed.commits.perform(.outcome, CommitBed.insert("outcome", byteCount: 40_960))
        }
        #expect(try blocks() == 0)
        await store.close()
    }
}
