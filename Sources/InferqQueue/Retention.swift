package import InferqCore
package import InferqStore
package import Logging
import ServiceLifecycle
import Synchronization

/// Removes ended jobs that are too old or too many, in small steps, and gives the space back.
///
/// A step is one short operation of the writer, which shares its transaction with everyone else who writes. Steps are paced:
/// they take a fifth of the writer's time, and more only if jobs end faster than that. Files of bodies are removed once
/// the rows that name them are gone on disk; what a crash leaves of them, the next start sweeps.
package struct Retention: Service {
    private let store: JobStore
    private let wheel: TimerWheel
    private let settings: @Sendable () -> RetentionSettings
    private let logger: Logger
    private let bell = Bell()
    /// What the log was told last.
    private let told = Told()

    private final class Told: Sendable {
        /// A reserve that was never held was not given up.
        let value = Mutex((isShort: false, hasReserve: false))
    }

    /// A look at sizes and at the disk at least this often while jobs come and go, and this often while none do.
    private static let lookWhileBusy = Duration.seconds(1)
    private static let lookWhileIdle = Duration.seconds(5)
    /// The writer's time for one burst of steps, and the pause after it: a fifth of the time at most.
    private static let burst = Duration.milliseconds(10)
    private static let pause = Duration.milliseconds(50)

    /// - Parameter settings: asked before each step, so that a reload takes effect at once.
    package init(
        store: JobStore,
        wheel: TimerWheel,
        logger: Logger,
        settings: @escaping @Sendable () -> RetentionSettings
    ) {
        self.store = store
        self.wheel = wheel
        self.logger = logger
        self.settings = settings
    }

    /// Ends on graceful shutdown.
    package func run() async throws {
        var commits = -1
        await bell.whileRunning {
            let next = await round()
            let isIdle = commits == store.commitFigures.commits
            commits = store.commitFigures.commits
            // A pause of the round may have heard the stop.
            guard !Task.isShuttingDownGracefully, !Task.isCancelled else { return }
            _ = await wheel.wait(at: bell, atMost: min(next, isIdle ? Self.lookWhileIdle : Self.lookWhileBusy))
        }
    }

    /// Says when room runs short and when there is enough again, once each.
    private func tellOfDisk() {
        let shortage = store.disk.shortage
        let hasReserve = store.disk.hasReserve
        let (wasShort, hadReserve) = told.value.withLock { told in
            defer { told = (shortage != nil, hasReserve) }
            return told
        }
        if hadReserve, !hasReserve { logger.warning("the disk is full: the reserve was released so that jobs can end") }
        if let shortage, !wasShort {
            logger.warning(
                "the disk is nearly full: new jobs are refused",
                metadata: [
                    "free": "\(ByteSizeText.approximate(shortage.free))",
                    "needed": "\(ByteSizeText.approximate(shortage.needed))",
                ]
            )
        }
        if shortage == nil, wasShort { logger.notice("the disk has room again: new jobs are taken") }
    }

    /// Does all that is due and returns the time to the next deadline.
    private func round() async -> Duration {
        do {
            await store.disk.tend()
            tellOfDisk()
            let next = try await removeAll()
            return next.map { max($0 - store.clock.now.certain, Self.pause) } ?? Self.lookWhileIdle
        } catch StoreError.closed {
            return Self.lookWhileIdle
        } catch {
            logger.error("ended jobs could not be removed", metadata: ["error": "\(error)"])
            return Self.lookWhileBusy
        }
    }

    private func removeAll() async throws -> Elapsed? {
        let begin = ContinuousClock.now
        var (jobs, uploads, bytes, spent) = (0, 0, 0, Duration.zero)
        defer {
            if jobs + uploads > 0 {
                logger.info(
                    "ended jobs and files removed",
                    metadata: [
                        "jobs": "\(jobs)", "files": "\(uploads)",
                        "size": "\(ByteSizeText.approximate(bytes))",
                        "seconds": "\((ContinuousClock.now - begin).milliseconds / 1000)",
                    ]
                )
            }
        }
        while true {
            let settings = settings()
            let outlook = try await store.outlook(settings.age)
            let now = store.clock.now.certain
            let isDue = outlook.bytes > settings.maxBytes || outlook.next.map { $0 < now } ?? false
            var isWorth = false
            if isDue {
                let (step, time) = try await store.removeEnded(settings, now: now)
                jobs += step.jobs
                uploads += step.uploads
                bytes += step.bytes
                spent += time
                isWorth = step.rows > 0
            }
            if outlook.freePages > store.keptPages(outlook) {
                let (pages, time) = try await store.giveBack(outlook)
                spent += time
                isWorth = isWorth || pages > 0
            }
            guard isWorth, !Task.isShuttingDownGracefully, !Task.isCancelled else { return outlook.next }
            // Far behind, or on a disk that is nearly full, there is no pause.
            let isUrgent = outlook.bytes > settings.maxBytes + settings.maxBytes / 20 || store.disk.isShort
            guard spent >= Self.burst, !isUrgent else { continue }
            spent = .zero
            _ = await wheel.wait(at: bell, atMost: Self.pause)
        }
    }
}
