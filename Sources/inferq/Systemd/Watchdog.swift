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
    private let isStopping = Atomic(false)
    private let pause: Duration

    /// The status line is at most this old.
    private static let longestPause: Duration = .seconds(5)
    /// What each turn of a drain asks for: more than the pause, and than a commit on a slow disk.
    private static let drainExtension: Duration = .seconds(30)

    init(
        limit: Duration? = Systemd.watchdogLimit,
        probe: @escaping @Sendable () async -> Void,
        status: @escaping @Sendable (_ isStopping: Bool) -> String
    ) {
        self.probe = probe
        self.status = status
        // Four chances: one turn that waits for a slow sync must not be the end.
        pause = min(limit.map { $0 / 4 } ?? Self.longestPause, Self.longestPause)
    }

    /// Of a gateway that works.
    convenience init(_ queue: JobQueue) {
        self.init(
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
            var last = ""
            while !Task.isCancelled {
                await self.probe()
                let isStopping = self.isStopping.load(ordering: .relaxed)
                var lines = ["WATCHDOG=1"]
                if isStopping { lines.append(Systemd.extending(by: Self.drainExtension)) }
                let status = self.status(isStopping)
                if status != last { lines.append("STATUS=\(status)") }
                last = status
                Systemd.notify(lines.joined(separator: "\n"))
                // Cancelled is all that a sleep can be, and the loop asks for that.
                try? await Task.sleep(for: self.pause)
            }
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
