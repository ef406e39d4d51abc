package import Logging
import ServiceLifecycle

/// Takes jobs from the broker and calls their model servers: per model as many identical slots as its `concurrency`.
package final class Worker: Service {
    /// Calls the model server for one attempt. Throws only `CancellationError`, after it has closed the connection.
    package typealias Call = @Sendable (Claim, ModelSettings) async throws -> Outcome

    private let queue: JobQueue
    private let wheel: TimerWheel
    private let drainTimeout: @Sendable () -> Duration
    private let call: Call
    /// Where slots run, in turn; none: the global pool.
    private let executors: [any TaskExecutor]
    private let logger: Logger
    private let (reloads, reload) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

    /// - Parameter drainTimeout: how long attempts may go on after the stop was asked for.
    package init(
        queue: JobQueue,
        wheel: TimerWheel,
        drainTimeout: @escaping @Sendable () -> Duration,
        logger: Logger,
        executors: [any TaskExecutor] = [],
        call: @escaping Call
    ) {
        self.queue = queue
        self.wheel = wheel
        self.drainTimeout = drainTimeout
        self.logger = logger
        self.call = call
        self.executors = executors
    }

    /// Begins to take jobs: once model servers can be told where the gateway is.
    package func start() {
        reload.yield()
    }

    /// Adds and retires slots after the models have changed.
    package func modelsChanged() {
        reload.yield()
    }

    /// Ends after a graceful shutdown once every attempt has ended, or was put back when `drainTimeout` had passed.
    package func run() async throws {
        await withDiscardingTaskGroup { group in
            var slots: [String: Int] = [:]
            for await _ in reloads.cancelOnGracefulShutdown() {
                for model in queue.models {
                    for slot in slots[model.name, default: 0]..<max(slots[model.name, default: 0], model.concurrency) {
                        let executor = executors.isEmpty ? nil : executors[slot % executors.count]
                        group.addTask(executorPreference: executor) { await self.runSlot(slot, of: model.name) }
                    }
                    slots[model.name] = max(slots[model.name, default: 0], model.concurrency)
                }
            }
            queue.broker.close()
            await drain()
        }
    }

    private func drain() async {
        let bell = Bell()
        let deadline = wheel.ring(bell, after: drainTimeout())
        queue.ringWhenIdle(bell)
        if await bell.wait().contains(.deadline) {
            logger.notice("drain timeout passed, interrupting running attempts")
        }
        wheel.cancel(deadline)
        queue.interruptAll()
    }

    // MARK: One slot

    /// A slot past the model's concurrency (a reload has lowered it) still takes what was offered to it: the scheduler
    /// offers no more than there are places, so it only waits.
    private func runSlot(_ slot: Int, of model: String) async {
        while let offer = await queue.broker.take(model) {
            queue.scheduler.taken(offer)
            do {
                if let claim = try await queue.claim(offer) {
                    await attempt(claim)
                }
                queue.scheduler.ended(offer)
            } catch {
                logger.error(
                    "a job could not be taken and stays pending",
                    metadata: ["model": "\(model)", "error": "\(error)"]
                )
                await pause(.seconds(1))
                queue.scheduler.ended(offer)
                queue.scheduler.askAgain(model)
            }
        }
    }

    private func attempt(_ claim: Claim) async {
        guard let settings = queue.model(claim.job.model) else {
            return await putBack(claim, reason: "its model was removed")
        }
        var log = logger
        log[metadataKey: "job_id"] = "\(claim.job.id)"
        log[metadataKey: "model"] = "\(claim.job.model)"
        log[metadataKey: "attempt"] = "\(claim.job.attempt)"
        log.debug("attempt started")
        let retry = RetryPolicy(
            base: settings.backoffBase, cap: settings.backoffCap, maxAttempts: claim.job.options.maxAttempts
        )
        switch await ending(of: claim, settings) {
        case .called(let outcome):
            await store(log) { try await self.queue.finish(claim, with: outcome, retry: retry) }
            switch outcome {
            case .answered: log.debug("attempt completed")
            case .failed(let failure, _):
                log.notice(
                    "attempt failed",
                    metadata: ["code": "\(failure.code.rawValue)", "reason": "\(failure.message)"]
                )
            }
        case .stopped(let rings) where rings.contains(.cancel):
            queue.forget(claim)
            log.info("attempt cancelled")
        case .stopped:
            log.notice("attempt interrupted")
            await putBack(claim, reason: "the gateway stopped")
        }
    }

    private enum Ending: Sendable {
        case called(Outcome)
        case stopped(Bell.Rings)
    }

    /// The call's outcome, or why it was stopped; a stopped call has closed its connection when this returns.
    private func ending(of claim: Claim, _ settings: ModelSettings) async -> Ending {
        await withTaskGroup(of: Ending.self) { group in
            group.addTask { [call] in
                do {
                    return .called(try await call(claim, settings))
                } catch {
                    return .stopped(.stop)
                }
            }
            group.addTask { .stopped(await claim.bell.wait()) }
            let first = await group.next() ?? .stopped(.stop)
            group.cancelAll()
            // An answer that came just as the attempt was stopped is dropped, with its file.
            if case .stopped = first, case .called(.answered(let answer)) = await group.next(),
                case .file(let name) = answer.payload.content
            {
                await queue.store.blobs.remove(name)
            }
            return first
        }
    }

    private func putBack(_ claim: Claim, reason: String) async {
        await store(logger) { try await self.queue.interrupt(claim, reason: reason) }
    }

    /// What has ended must be stored: on a full disk again and again, until there is room or the service must go.
    private func store(_ log: Logger, _ change: @Sendable () async throws -> Void) async {
        while true {
            do {
                return try await change()
            } catch StoreError.full where !Task.isCancelled {
                log.error("the disk is full: the outcome of an attempt waits to be stored")
                await pause(.seconds(1))
            } catch {
                return log.error("the outcome of an attempt was lost", metadata: ["error": "\(error)"])
            }
        }
    }

    private func pause(_ duration: Duration) async {
        let bell = Bell()
        let deadline = wheel.ring(bell, after: duration)
        _ = await bell.wait()
        wheel.cancel(deadline)
    }
}
