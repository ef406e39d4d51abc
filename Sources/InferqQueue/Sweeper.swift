package import InferqCore
package import Logging
import ServiceLifecycle

/// Does what time brings: jobs become due, jobs expire. Sleeps until the next such moment.
package struct Sweeper: Service {
    private let queue: JobQueue
    private let wheel: TimerWheel
    private let logger: Logger
    private let throttle = LogThrottle()

    /// So many jobs change in one step, so that submits come in between.
    private static let step = 200
    /// A look at the clock at least this often: setting the wall clock moves the deadlines of those who named a time.
    private static let longestSleep = Duration.seconds(30)

    package init(queue: JobQueue, wheel: TimerWheel, logger: Logger) {
        self.queue = queue
        self.wheel = wheel
        self.logger = logger
    }

    package func run() async throws {
        await queue.deadlines.whileRunning {
            let next = await sweep()
            _ = await wheel.wait(at: queue.deadlines, atMost: next)
        }
    }

    /// Does all that is due and returns the time to the next deadline.
    private func sweep() async -> Duration {
        for step in queue.store.clock.takeSteps() {
            logger.warning(
                "the wall clock was set; durations are not affected",
                metadata: ["by_seconds": .stringConvertible(step.milliseconds / 1000)]
            )
        }
        do {
            while try await expire() + becomeDue() > 0 {}
            queue.askAgain()
            guard let next = try await queue.store.nextDeadline(from: queue.store.clock.now) else {
                return Self.longestSleep
            }
            return min(max(next, .milliseconds(1)), Self.longestSleep)
        } catch {
            throttle.log(
                logger, .error, "waiting jobs could not be checked", metadata: ["error": "\(error)"]
            )
            return .seconds(1)
        }
    }

    private func becomeDue() async throws -> Int {
        try await queue.store.makeDue(at: queue.store.clock.now, limit: Self.step)
    }

    private func expire() async throws -> Int {
        let expired = try await queue.store.expire(at: queue.store.clock.now, limit: Self.step)
        for job in expired {
            throttle.log(
                logger, .notice, "job expired before its first attempt",
                of: job.model, metadata: ["job_id": "\(job.id)", "model": "\(job.model)"]
            )
        }
        return expired.count
    }
}
