import InferqCore
import InferqQueue
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization

/// Tells systemd that the gateway works and what it does, as long as it does.
///
/// Each turn goes through every event loop and, once there is a store, through its writer's queue. Any answer will do,
/// an error of a full disk too: only silence ends the feeding, and then systemd ends the process. Listed first among
/// the services it is stopped last, so a drain is watched as well; while the turns come back, the drain may take longer
/// than TimeoutStopSec=.
final class Watchdog: Service {
    private let probe: @Sendable () async -> Void
    private let status: @Sendable (_ isStopping: Bool) -> String
    private let changes: Bell
    private let isStopping = Atomic(false)
    private let said = Mutex("")
    private let pause: Duration

    /// The status line is at most this old; what is rung for is said at once.
    private static let longestPause: Duration = .seconds(5)
    /// What each turn of a drain asks for: more than the pause, and than a commit on a slow disk.
    private static let drainExtension: Duration = .seconds(30)

    /// - Parameter changes: rings when the status line has changed and must not wait for the next turn.
    init(
        limit: Duration? = Systemd.watchdogLimit,
        changes: Bell = Bell(),
        probe: @escaping @Sendable () async -> Void,
        status: @escaping @Sendable (_ isStopping: Bool) -> String
    ) {
        self.changes = changes
        self.probe = probe
        self.status = status
        // Four chances: one turn that waits for a slow sync must not be the end.
        pause = min(limit.map { $0 / 4 } ?? Self.longestPause, Self.longestPause)
    }

    /// Of a gateway that works.
    convenience init(_ queue: JobQueue, changes: Bell) {
        self.init(
            changes: changes,
            probe: {
                await Self.turnOfEveryLoop()
                do {
                    try await queue.store.ping()
                } catch {
                    // An answer: the writer lives. What is wrong with the disk is said by those who need it.
                }
            },
            status: { StatusLine(of: queue).text(isStopping: $0) }
        )
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                group.addTask { await self.feed() }
                group.addTask { await self.sayChanges() }
            }
        }
    }

    private func feed() async {
        while !Task.isCancelled {
            await probe()
            var lines = ["WATCHDOG=1"]
            if isStopping.load(ordering: .relaxed) { lines.append(Systemd.extending(by: Self.drainExtension)) }
            say(lines)
            // Cancelled is all that a sleep can be, and the loop asks for that.
            try? await Task.sleep(for: pause)
        }
    }

    private func sayChanges() async {
        while !Task.isCancelled {
            _ = await changes.wait()
            if !Task.isCancelled { say([]) }
        }
    }

    /// Sends these lines, and the status line if it is another one than before.
    private func say(_ lines: [String]) {
        said.withLock { said in
            let status = self.status(isStopping.load(ordering: .relaxed))
            let news = status != said ? lines + ["STATUS=\(status)"] : lines
            said = status
            if !news.isEmpty { Systemd.notify(news.joined(separator: "\n")) }
        }
    }

    /// Listed last among the services, so that it hears first of a stop and says so.
    var farewell: any Service { Farewell(watchdog: self) }

    private struct Farewell: Service {
        let watchdog: Watchdog

        func run() async throws {
            try await gracefulShutdown()
            watchdog.isStopping.store(true, ordering: .relaxed)
            Systemd.notify("STOPPING=1\n" + Systemd.extending(by: Watchdog.drainExtension))
            watchdog.changes.ring(.event)
        }
    }

    static func turnOfEveryLoop() async {
        for loop in MultiThreadedEventLoopGroup.singleton.makeIterator() {
            do {
                try await loop.submit {}.get()
            } catch {
                // A loop that is shut down answers too.
            }
        }
    }
}
