package import InferqCore
package import InferqQueue
import InferqStore
package import Logging
package import ServiceLifecycle

extension Logger {
    /// Says nothing.
    package static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}

/// Runs `body` beside services, which are stopped gracefully afterwards if `body` has not stopped them.
package func withServices(
    _ services: [any Service], _ body: (ServiceGroup) async throws -> Void
) async throws {
    let group = ServiceGroup(services: services, logger: .silent)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await group.run() }
        try await body(group)
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
    }
}

extension JobQueue {
    /// Waits until the job is so, and returns it.
    package func wait(for job: Job, until condition: (Job) -> Bool) async throws -> Job {
        let bell = Bell()
        hub.listen(to: job.key, bell)
        defer { hub.leave(job.key, bell) }
        while true {
            guard let found = try await store.job(job.id) else { throw StoreError.closed }
            if condition(found) { return found }
            try Task.checkCancellation()
            _ = await bell.wait()
        }
    }

    /// Waits until the job has ended, and returns it.
    package func end(of job: Job) async throws -> Job {
        try await wait(for: job) { $0.status.isFinal }
    }
}
