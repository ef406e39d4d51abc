import Foundation
import InferqCore
import InferqHTTP
import InferqQueue
import InferqStore
import Logging
import ServiceLifecycle
import Synchronization

/// A gateway's middle that runs: store, queue, ring, and one slot whose model server is a closure that answers at once,
/// as often as it may.
struct RunningQueue: Sendable {
    let queue: JobQueue
    let logger: Logger
    private let wheel: TimerWheel
    private let gate: Gate

    /// Calls that may be answered, and who waits for the last of them.
    private final class Gate: Sendable {
        private struct State {
            var open = 0
            var closed: CheckedContinuation<Void, Never>?
            var caller: CheckedContinuation<Void, Never>?
        }

        private let state = Mutex(State())

        /// Waits until this call may be answered.
        func pass() async {
            await withCheckedContinuation { continuation in
                let (mayPass, closed) = state.withLock { state -> (Bool, CheckedContinuation<Void, Never>?) in
                    guard state.open == 0 else {
                        state.open -= 1
                        return (true, nil)
                    }
                    state.caller = continuation
                    // The call before this one was the last: its outcome is stored.
                    return (false, state.closed.take())
                }
                if mayPass { continuation.resume() }
                closed?.resume()
            }
        }

        /// Lets so many calls pass, and returns when the one after them has come.
        func open(_ count: Int) async {
            guard count > 0 else { return }
            await withCheckedContinuation { continuation in
                let caller = state.withLock { state in
                    state.closed = continuation
                    state.open = count
                    if state.caller != nil { state.open -= 1 }
                    return state.caller.take()
                }
                caller?.resume()
            }
        }

        /// Lets everything pass.
        func openForGood() {
            state.withLock { state in
                state.open = .max
                return state.caller.take()
            }?.resume()
        }
    }

    /// Opens the folder's store, or makes it, and closes it afterwards.
    ///
    /// - Parameter answer: the model server's.
    static func with(
        _ folder: URL,
        answer: [UInt8] = Array(#"{"predicted_layers":[]}"#.utf8),
        _ body: @Sendable (RunningQueue) async throws -> Void
    ) async throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        var settings = StoreSettings(path: folder.appending(component: "inferq.db").path)
        (settings.minFree, settings.ballast) = (0, 0)
        let store = try JobStore(settings, models: ["m"], bootID: "") { fatalError("\($0)") }
        var model = ModelSettings(name: "m", url: "http://127.0.0.1:1/")
        model.queueLimit = 10_000_000
        let queue = try JobQueue(store: store, broker: RingBroker(capacity: 64), models: [model])
        var logger = Logger(label: "micro")
        logger.logLevel = .critical
        let (wheel, gate) = (TimerWheel(), Gate())
        let worker = Worker(queue: queue, wheel: wheel, drainTimeout: { .zero }, logger: logger) { claim, _ in
            // At the end the waiting call is interrupted, and nothing more is taken.
            claim.stop.whenStopped { gate.openForGood() }
            await gate.pass()
            let payload = Payload(
                content: .inline(answer), byteCount: answer.count, contentType: "application/json", form: .json
            )
            return .answered(Outcome.Answer(payload: payload, layers: .none))
        }
        let services: [any Service] = [
            wheel, queue.scheduler, Sweeper(queue: queue, wheel: wheel, logger: logger), worker,
        ]
        let group = ServiceGroup(services: services, logger: logger)
        let running = RunningQueue(queue: queue, logger: logger, wheel: wheel, gate: gate)
        worker.start()
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            try await body(running)
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
        await store.close()
    }

    /// As ``with(_:answer:_:)``, with a store that is gone afterwards.
    static func withNewStore(
        in folder: URL,
        answer: [UInt8] = Array(#"{"predicted_layers":[]}"#.utf8),
        _ body: @Sendable (RunningQueue) async throws -> Void
    ) async throws {
        let folder = folder.appending(component: UUID().uuidString)
        try await with(folder, answer: answer, body)
        try FileManager.default.removeItem(at: folder)
    }

    var gateway: Gateway { gateway(AccessSettings(), KeyRing()) }

    func gateway(_ access: AccessSettings, _ keys: KeyRing) -> Gateway {
        Gateway(
            queue: queue, wheel: wheel, settings: Live(HTTPSettings()), access: access, keys: keys, version: "micro")
    }

    /// Jobs that wait.
    var depth: Int { queue.depth(of: "m").pending }

    /// - Parameter client: whose job it becomes.
    func submit(by client: String? = nil) async throws -> Job {
        let input = Payload(
            content: .inline(Samples.request),
            byteCount: Samples.request.count,
            contentType: "application/json",
            form: .json
        )
        var options = Submission.Options()
        if let client { options.kept.client = client }
        let receipt = try await queue.submit(Submission(model: "m", options: options, input: input))
        guard let job = receipt.job else { throw Unexpected() }
        return job
    }

    func submit(_ count: Int, atATime clients: Int) async throws {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for client in 0..<clients {
                tasks.addTask {
                    for _ in stride(from: client, to: count, by: clients) { _ = try await submit() }
                }
            }
            try await tasks.waitForAll()
        }
    }

    /// Lets the slot end so many jobs, one after the other.
    func work(_ count: Int) async throws {
        let more = count + 1 - depth - queue.depth(of: "m").running
        // The job after the last one shows that the last one's outcome is stored.
        if more > 0 { try await submit(more, atATime: 1) }
        await gate.open(count)
    }
}
