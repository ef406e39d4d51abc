import InferqCore
import NIOCore
import NIOHTTP1
import Synchronization

/// One call on its way: what is sent, and whoever waits for the answer's head.
///
/// It may be aborted from any thread at any moment; then its connection is closed, which tells a model server that
/// honours it to stop working.
final class ClientExchange: Sendable {
    private struct State {
        var waiter: CheckedContinuation<ClientAnswer, any Error>?
        var channel: (any Channel)?
        var isAborted = false
        var isRepeated = false
    }

    let head: HTTPRequestHead
    let body: ByteBuffer
    /// Rings once the call goes out on a connection.
    private let sent: Bell?
    private let state = Mutex(State())

    init(head: HTTPRequestHead, body: ByteBuffer, sent: Bell? = nil) {
        self.head = head
        self.body = body
        self.sent = sent
    }

    /// Runs `start` and waits for the answer's head; a small answer is whole by then.
    func answer(_ start: @Sendable () -> Void) async throws -> ClientAnswer {
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
        let isWanted = state.withLock { state in
            state.channel = channel
            return !state.isAborted
        }
        if isWanted { sent?.ring(.event) }
        return isWanted
    }

    /// The connection that was to carry it had been closed by the server before.
    ///
    /// - Returns: whether it may be sent once more, on a new connection.
    func mayRepeat() -> Bool {
        state.withLock { state in
            defer { state.isRepeated = true }
            return !state.isRepeated && !state.isAborted
        }
    }

    /// The head has come, or nothing will.
    func resume(with result: Result<ClientAnswer, any Error>) {
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

    /// The time is up. An answer that lies in the socket by now still counts, for the process itself may have been stopped:
    /// so its event loop looks once more before the connection is closed.
    func expire(_ then: @escaping @Sendable () -> Void) {
        guard let channel = state.withLock({ $0.channel }) else {
            then()
            return abort()
        }
        channel.eventLoop.scheduleTask(in: .milliseconds(1)) {
            then()
            self.abort()
        }
    }

    func abort() {
        let (waiter, channel) = state.withLock { state in
            state.isAborted = true
            defer { state.waiter = nil }
            return (state.waiter, state.channel)
        }
        waiter?.resume(throwing: CancellationError())
        // Its answer may end at this moment, and the connection carry the next call already. Both happen on the
        // connection's event loop, so there it is certain whose it is.
        channel?.eventLoop.execute { self.state.withLock { $0.channel }?.close(promise: nil) }
    }
}

/// A model server's answer: its head, and its body whole or as it comes.
struct ClientAnswer: Sendable {
    enum Body: Sendable {
        case whole(ByteBuffer)
        case parts(BodyParts)
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
enum HTTPClientError: Error {
    /// No connection could be made.
    case noConnection(String)
    /// A new connection was reset before a byte of an answer.
    case reset
    case closedEarly
}
