import InferqCore
import NIOCore
import NIOHTTP1
import Synchronization

/// One request on its way: what is sent, and who waits for the answer's head.
///
/// It may be aborted from any thread at any moment; then its connection is closed, which tells a server that honors it
/// to stop working.
final class ClientExchange: Sendable {
    enum Body: Sendable {
        case whole(ByteBuffer)
        /// Written by the one that takes the writer, which comes once the head is sent; none comes if that never happens.
        case stream(AsyncStream<BodyWriter>.Continuation)

        var isWhole: Bool { if case .whole = self { true } else { false } }
    }

    private struct State {
        var waiter: CheckedContinuation<ClientAnswer, any Error>?
        var channel: (any Channel)?
        /// Why it was aborted.
        var failure: (any Error)?
        var isRepeated = false
        var whenOver: (@Sendable () -> Void)?
    }

    let head: HTTPRequestHead
    let body: Body
    /// Whether the request may be sent twice: it goes out on a kept connection then, which the server may be closing.
    let isIdempotent: Bool
    /// Rings once the request goes out on a connection.
    private let sent: Bell?
    private let state = Mutex(State())

    /// Longer than a busy machine keeps a thread from running between two of its tasks; under a tick of ``TimerWheel``,
    /// which is the precision of time limits.
    private static let lastLook = TimeAmount.milliseconds(20)

    init(head: HTTPRequestHead, body: Body = .whole(ByteBuffer()), isIdempotent: Bool, sent: Bell? = nil) {
        self.head = head
        self.body = body
        self.isIdempotent = isIdempotent
        self.sent = sent
    }

    /// Runs `start` and waits for the answer's head; a small answer is whole by then.
    func answer(_ start: @Sendable () -> Void) async throws -> ClientAnswer {
        try await withCheckedThrowingContinuation { continuation in
            let failure = state.withLock { state in
                if state.failure == nil { state.waiter = continuation }
                return state.failure
            }
            if let failure { continuation.resume(throwing: failure) } else { start() }
        }
    }

    /// - Returns: false when it was aborted meanwhile: there is nothing to send.
    func begins(on channel: any Channel) -> Bool {
        let isWanted = state.withLock { state in
            state.channel = channel
            return state.failure == nil
        }
        if isWanted { sent?.ring(.event) }
        return isWanted
    }

    /// The connection that was to carry it had been closed by the server before.
    ///
    /// - Returns: whether it may be sent once more, on a new connection.
    func mayRepeat() -> Bool {
        guard isIdempotent else { return false }
        return state.withLock { state in
            defer { state.isRepeated = true }
            return !state.isRepeated && state.failure == nil
        }
    }

    /// Why it was aborted; nil: it was not.
    var failure: (any Error)? { state.withLock { $0.failure } }

    /// The head has come, or nothing will.
    func resume(with result: Result<ClientAnswer, any Error>) {
        let waiter = state.withLock { state in
            defer { state.waiter = nil }
            return state.waiter
        }
        if case .failure = result { ended() }
        waiter?.resume(with: result)
    }

    /// The answer has ended, or none will come: an abort has no connection to close any more.
    func ended() {
        let action = state.withLock { state in
            state.channel = nil
            defer { state.whenOver = nil }
            return state.whenOver
        }
        over(action)
    }

    /// Sets what is called when the answer has ended, or none will come.
    func whenOver(_ action: @escaping @Sendable () -> Void) {
        state.withLock { $0.whenOver = action }
    }

    private func over(_ action: (@Sendable () -> Void)?) {
        action?()
        if case .stream(let writers) = body { writers.finish() }
    }

    /// The time is up. An answer that is in the socket by now still counts, for the process itself may have been stopped:
    /// so its event loop looks once more before the connection is closed.
    ///
    /// An event loop looks at its sockets when no task is due. The second wait begins on the loop, or a loop that was
    /// itself held up would find the end of the wait due before it had looked.
    func expire() {
        guard let channel = state.withLock({ $0.channel }) else { return abort(HTTPClientError.timedOut) }
        let loop = channel.eventLoop
        loop.execute { loop.scheduleTask(in: Self.lastLook) { self.abort(HTTPClientError.timedOut) } }
    }

    /// - Parameter failure: what is thrown to anyone who waits for the answer, or reads it.
    func abort(_ failure: any Error = CancellationError()) {
        let (waiter, channel, action) = state.withLock { state in
            if state.failure == nil { state.failure = failure }
            defer {
                state.waiter = nil
                state.whenOver = nil
            }
            return (state.waiter, state.channel, state.whenOver)
        }
        over(action)
        waiter?.resume(throwing: failure)
        // Its answer may end at this moment, and the connection carry the next call already. Both happen on the
        // connection's event loop, so there it is certain whose it is.
        channel?.eventLoop.execute { self.state.withLock { $0.channel }?.close(promise: nil) }
    }
}
