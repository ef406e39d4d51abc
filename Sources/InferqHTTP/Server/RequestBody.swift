import NIOCore

/// The body of a request: there already, or read no faster than it is taken.
enum RequestBody: Sendable, AsyncSequence {
    case whole(ByteBuffer)
    case parts(BodyParts)

    func makeAsyncIterator() -> AsyncIterator {
        switch self {
        case .whole(let bytes): AsyncIterator(rest: .whole(bytes))
        case .parts(let parts): AsyncIterator(rest: .parts(parts.makeAsyncIterator()))
        }
    }

    struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate enum Rest {
            case whole(ByteBuffer)
            case parts(BodyParts.AsyncIterator)
            case none
        }

        fileprivate var rest: Rest

        mutating func next() async throws -> ByteBuffer? {
            switch rest {
            case .whole(let bytes):
                rest = .none
                return bytes
            case .parts(let parts): return try await parts.next()
            case .none: return nil
            }
        }
    }
}
