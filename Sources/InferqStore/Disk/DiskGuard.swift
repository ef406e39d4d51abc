import Foundation
import InferqCore
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Watches the room that is left on the store's disk: refuses new jobs while there is too little, and holds a reserve.
///
/// It looks when it is asked, at most ten times a second, so that an idle gateway has nothing to wake up for.
package final class DiskGuard: Sendable {
    /// How much there is, and how much there should be; in bytes.
    package struct Shortage: Sendable, Equatable, CustomStringConvertible {
        package let free: Int
        package let needed: Int

        package var description: String {
            "\(ByteSizeText.approximate(free)) are free and \(ByteSizeText.approximate(needed)) are needed, so "
                + "new jobs are refused: make room, or lower store.min_free"
        }
    }

    private struct State {
        var minFree: Int
        var free: Int?
        var looked: ContinuousClock.Instant?
    }

    private let folder: String
    private let ballast: Ballast
    private let state: Mutex<State>

    /// A look is that old at most.
    private static let freshness = Duration.milliseconds(100)
    /// What a start needs: the WAL, its index and one transaction.
    private static let roomToStart = 2 << 20

    init(_ settings: StoreSettings) {
        folder = StorePath.folder(of: settings.path)
        let total = Self.statistics(folder)?.total ?? 0
        ballast = Ballast(path: settings.path + ".ballast", size: min(settings.ballast, total / 16))
        state = Mutex(State(minFree: settings.minFree))
    }

    /// Bytes of log after which it is copied into the database: as many as wanted, or fewer where the reserve is small.
    ///
    /// The copy makes the database longer by as much. On a full disk half of the reserve is for that, and the other half for
    /// what is written meanwhile. Without a reserve there is no room for it at any length.
    func affordable(_ wanted: Int) -> Int {
        ballast.size > 0 ? min(wanted, max(ballast.size / 2, Self.shortestLog)) : wanted
    }

    /// Shorter than that, nearly every commit would be followed by a copy.
    private static let shortestLog = 256 << 10

    /// Free bytes below which new jobs are refused.
    package var minFree: Int {
        get { state.withLock { $0.minFree } }
        set { state.withLock { $0.minFree = newValue } }
    }

    /// Whether new jobs are refused.
    package var isShort: Bool { shortage != nil }

    /// What is missing; nil while there is room. A file system that cannot be asked is not short.
    package var shortage: Shortage? {
        let (missing, owed) = (ballast.missing, ballast.owed)
        return state.withLock { state in
            let now = ContinuousClock.now
            if state.looked.map({ now - $0 > Self.freshness }) ?? true {
                state.free = Self.statistics(folder)?.free
                state.looked = now
            }
            guard let free = state.free else { return nil }
            // What was given up is for what has been accepted, and then owed to the reserve: new jobs come after both,
            // even where nothing else is to be left free.
            let needed = state.minFree > 0 ? state.minFree + missing : owed
            return free < needed ? Shortage(free: free, needed: needed) : nil
        }
    }

    /// Whether the reserve is there, if one is wanted.
    package var hasReserve: Bool { ballast.isHeld || ballast.size == 0 }

    /// Whether so many bytes are free at this moment. A file system that cannot be asked has room.
    func hasRoom(_ byteCount: Int) -> Bool {
        Self.statistics(folder).map { $0.free >= byteCount } ?? true
    }

    /// Frees the reserve on a full disk; true if there was one. Blocks for a moment.
    func giveUpBallast() -> Bool {
        state.withLock { $0.looked = nil }
        return ballast.giveUp()
    }

    /// Frees the reserve if even a start would find no room.
    func makeRoomToStart() {
        guard let free = Self.statistics(folder)?.free, free < Self.roomToStart else { return }
        _ = giveUpBallast()
    }

    /// Takes the reserve again once there is room for it.
    package func tend() async {
        guard !ballast.isHeld, ballast.size > 0, let free = Self.statistics(folder)?.free else { return }
        guard free >= minFree + ballast.size + ballast.size / 8 else { return }
        await ballast.take()
        state.withLock { $0.looked = nil }
    }

    /// What an ordinary user could still write, and how large the file system is; in bytes.
    private static func statistics(_ folder: String) -> (free: Int, total: Int)? {
        var statistics = statvfs()
        guard statvfs(folder, &statistics) == 0 else { return nil }
        let block = Int(statistics.f_frsize)
        return (Int(statistics.f_bavail) * block, Int(statistics.f_blocks) * block)
    }
}
