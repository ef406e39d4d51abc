import NIOCore
import NIOHTTP1
import Synchronization

/// One call on its way: what is sent, and whoever waits for the answer's head.
///
/// It may be aborted from any thread at any moment; then its connection is closed, which tells a model server that
/// honours it to stop working.
final class ModelExchange: Sendable {
    private struct State {
        var waiter: CheckedContinuation<ModelAnswer, any Error>?
        var channel: (any Channel)?
        var isAborted = false
    }

    let head: HTTPRequestHead
    let body: ByteBuffer
    private let state = Mutex(State())

    init(head: HTTPRequestHead, body: ByteBuffer) {
        self.head = head
        self.body = body
    }

    /// Runs `start` and waits for the answer's head; a small answer is whole by then.
    func answer(_ start: @Sendable () -> Void) async throws -> ModelAnswer {
        try await withCheckedThrowingContinuation { continuation in
            let isAborted = state.withLock { state in
                if !state.isAborted { state.waiter = continuation }
                return state.isAborted
            }
            if isAborted { continuation.resume(throwing: CancellationError()) } else { start() }
        }
    }

    /// - Returns: false when it was aborted meanwhile: there is nothing to send.
    func begins(on channel: any Channel) -> Bool {
        state.withLock { state in
            state.channel = channel
            return !state.isAborted
        }
    }

    /// The head has come, or nothing will.
    func resume(with result: Result<ModelAnswer, any Error>) {
        let waiter = state.withLock { state in
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(with: result)
    }

    /// The answer has ended: an abort has no connection to close any more.
    func ended() {
        state.withLock { $0.channel = nil }
    }

    func abort() {
        let (waiter, channel) = state.withLock { state in
            state.isAborted = true
            defer { state.waiter = nil }
            return (state.waiter, state.channel)
        }
        channel?.close(promise: nil)
        waiter?.resume(throwing: CancellationError())
    }
}

/// A model server's answer: its head, and its body whole or as it comes.
struct ModelAnswer: Sendable {
    typealias Parts = NIOThrowingAsyncSequenceProducer<
        ByteBuffer, any Error, NIOAsyncSequenceProducerBackPressureStrategies.HighLowWatermark, BodyDemand
    >

    enum Body: Sendable {
        case whole(ByteBuffer)
        case parts(Parts)
    }

    let status: Int
    let headers: HTTPHeaders
    let body: Body

    /// Calls `take` with each piece of the body until it returns false; the connection is closed then.
    func read(_ take: (ByteBuffer) throws -> Bool) async throws {
        switch body {
        case .whole(let bytes): _ = try take(bytes)
        case .parts(let parts):
            for try await part in parts where try !take(part) { return }
        }
    }
}

/// How an exchange can fail before its answer is complete, beside what the system and the decoder say.
enum ModelExchangeError: Error {
    /// No connection came about.
    case noConnection(String)
    case closedEarly
}

/// Tells a pipeline, on its event loop, whether more of a body is wanted.
struct BodyDemand: NIOAsyncSequenceProducerDelegate {
    let eventLoop: any EventLoop
    let changed: @Sendable (_ isWanted: Bool) -> Void

    func produceMore() {
        eventLoop.execute { changed(true) }
    }

    func didTerminate() {
        eventLoop.execute { changed(false) }
    }
}
