package import NIOCore

/// Runs Swift's tasks on an event loop's own thread.
///
/// A request is read, answered and written by one thread then; with the global pool it would change threads twice,
/// which costs more than everything else that a small request needs. Nothing that runs there may block.
package final class EventLoopExecutor: TaskExecutor {
    private let eventLoop: any EventLoop

    private init(_ eventLoop: any EventLoop) {
        self.eventLoop = eventLoop
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        eventLoop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }

    /// One executor for each loop of a group.
    package static func all(of group: any EventLoopGroup) -> [EventLoopExecutor] {
        group.makeIterator().map { EventLoopExecutor($0) }
    }

    func runs(on other: any EventLoop) -> Bool {
        eventLoop === other
    }
}
