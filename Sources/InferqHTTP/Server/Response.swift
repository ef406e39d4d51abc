package import HTTPTypes
import NIOCore

/// The answer to a request.
package struct Response: Sendable {
    enum Body: Sendable {
        case none
        case bytes(ByteBuffer)
        /// What `write` writes to the connection, the end of the answer included.
        ///
        /// - length: bytes; nil when no one knows it beforehand. Then the head goes out before `write` is called.
        case pieces(length: Int?, write: @Sendable () async throws -> Void)

        fileprivate var length: Int? {
            switch self {
            case .none: 0
            case .bytes(let bytes): bytes.readableBytes
            case .pieces(let length, _): length
            }
        }
    }

    package let status: HTTPResponse.Status
    /// All but those that say where the answer and the connection end.
    var headers: HTTPFields
    /// Bytes of the body, of that of a GET where this answers a HEAD; nil when no one knows them beforehand.
    let length: Int?
    private(set) var body: Body
    /// Whether the first bytes of a body of unknown length are there, so that the head goes out with them.
    var isReady = false
    /// Whether the connection ends with it.
    let isLast: Bool
    /// Whether its body may take hours, so that a task of its own writes it.
    var isLong = false

    init(
        status: HTTPResponse.Status, headers: HTTPFields = HTTPFields(), body: Body = .none, isLast: Bool = false
    ) {
        self.status = status
        self.headers = headers
        self.body = body
        length = body.length
        self.isLast = isLast
    }

    /// Leaves what the answer to a HEAD has: the head, which tells the length all the same.
    mutating func removeBody() {
        body = .none
    }
}
