package import NIOCore
package import NIOHTTP1

/// A server's answer: its head, and its body whole or as it comes.
///
/// Anyone who drops it without reading closes the connection if the body had not come whole.
package struct ClientAnswer: Sendable {
    enum Body: Sendable {
        case whole(ByteBuffer)
        case parts(BodyParts)
    }

    package let status: Int
    package let headers: HTTPHeaders
    let body: Body

    /// Whether it sends the client elsewhere, where a request of this client never goes by itself.
    var isRedirect: Bool { [301, 302, 303, 307, 308].contains(status) }

    /// Calls `take` with each piece of the body until it returns false; the connection is closed then. The server is
    /// not read from while `take` is at work.
    ///
    /// - Throws: ``HTTPClientError``, what the system or the decoder says, what `take` throws, or `CancellationError`.
    package func read(_ take: (ByteBuffer) throws -> Bool) async throws {
        switch body {
        case .whole(let bytes): _ = try take(bytes)
        case .parts(let parts):
            for try await part in parts where try !take(part) { return }
            // To a cancelled task the sequence ends as if the body had.
            try Task.checkCancellation()
        }
    }

    /// As ``read(_:)``, for who must wait before it takes more.
    package func forEachPart(_ take: (ByteBuffer) async throws -> Bool) async throws {
        switch body {
        case .whole(let bytes): _ = try await take(bytes)
        case .parts(let parts):
            for try await part in parts where try await !take(part) { return }
            try Task.checkCancellation()
        }
    }

    /// The whole body.
    ///
    /// - Parameter limit: bytes.
    /// - Throws: ``HTTPClientError/answerTooLong`` when it has more.
    package func bytes(upTo limit: Int) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        try await read { piece in
            guard bytes.count + piece.readableBytes <= limit else { throw HTTPClientError.answerTooLong }
            bytes.append(contentsOf: piece.readableBytesView)
            return true
        }
        return bytes
    }
}
