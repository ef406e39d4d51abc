import NIOCore

/// Writes a request's body as it comes, from any task.
struct BodyWriter: Sendable {
    /// The connection is closed, or the task cancelled. Anyone who waits for the answer is told why.
    struct Unwanted: Error {}

    private let connection: NIOLoopBound<ClientConnection>

    /// On the connection's event loop.
    init(_ connection: ClientConnection, on eventLoop: any EventLoop) {
        self.connection = NIOLoopBound(connection, eventLoop: eventLoop)
    }

    /// Returns when the system has taken the piece.
    func write(_ piece: ByteBuffer) async throws(Unwanted) {
        try await perform { $0.write(piece) }
    }

    func end() async throws(Unwanted) {
        try await perform { $0.endRequest() }
    }

    private func perform(
        _ action: @escaping @Sendable (ClientConnection) -> EventLoopFuture<Void>
    ) async throws(Unwanted) {
        let (results, continuation) = AsyncStream<Bool>.makeStream()
        connection.eventLoop.flatSubmit { [connection] in action(connection.value) }.whenComplete { result in
            if case .success = result { continuation.yield(true) } else { continuation.yield(false) }
        }
        // A server that takes no more of a body may still give an answer: a cancelled task does not wait for it.
        guard await results.first(where: { _ in true }) == true else { throw Unwanted() }
    }
}
