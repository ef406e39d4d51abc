import InferqCore
import InferqQueue
import InferqStore
package import Logging
import ServiceLifecycle

/// Runs the batches that have not ended, each in a task of its own. What is left to do of each stands in the store.
package struct BatchRunner: Service {
    private let gateway: Gateway
    private let logger: Logger

    package init(gateway: Gateway, logger: Logger) {
        self.gateway = gateway
        self.logger = logger
    }

    /// Ends on graceful shutdown: the next start goes on.
    package func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                for batch in await open() { group.addTask { await run(batch) } }
                for await batch in gateway.batchArrivals.stream { group.addTask { await run(batch) } }
            }
        }
    }

    private func run(_ batch: UUIDv7) async {
        await BatchRun(gateway: gateway, id: batch, logger: logger).run()
    }

    private func open() async -> [UUIDv7] {
        while !Task.isCancelled {
            do {
                return try await gateway.store.openBatches().map(\.id)
            } catch {
                // The stop may come before the first read has ended.
                if Task.isCancelled { break }
                logger.error("batches could not be read", metadata: ["error": "\(error)"])
                await gateway.wheel.sleep(for: BatchRun.pauseAfterFailure)
            }
        }
        return []
    }
}
