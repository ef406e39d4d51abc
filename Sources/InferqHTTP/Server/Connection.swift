import HTTPTypes
import InferqCore
package import NIOCore
import NIOHTTP1
import Synchronization

/// One client's connection, as routes see it: who hangs up, and how to reach the channel.
package final class Connection: Sendable {
    /// Where it came from: that says who may have made it.
    package enum Origin: Sendable, Equatable {
        /// Over TCP, from this address; nil where it is not known.
        case network(address: String?)
        /// Over the Unix socket for the host's users.
        case local
        /// Over the Unix socket for root.
        case admin
    }

    let channel: any Channel
    let origin: Origin
    /// Whether it speaks TLS.
    let isSecure: Bool

    private struct State {
        var isGone = false
        var peerNames: [String] = []
        var bell: Bell?
    }

    private let state = Mutex(State())

    package init(channel: any Channel, origin: Origin, isSecure: Bool = false) {
        self.channel = channel
        self.origin = origin
        self.isSecure = isSecure
    }

    /// What the client's certificate names, if it has shown one that `tls.client_ca` has signed: its URIs, then its common
    /// name. They are there before the first request is.
    package var peerNames: [String] {
        get { state.withLock { $0.peerNames } }
        set { state.withLock { $0.peerNames = newValue } }
    }

    /// Over a Unix socket: what only the host's own users may do is allowed.
    var isLocal: Bool { origin == .local || origin == .admin }

    /// Rings `bell` with ``Bell/Rings/hangUp`` when the client closes its side, at once if it has. One route at a time.
    func onHangUp(ring bell: Bell?) {
        let isGone = state.withLock { state in
            state.bell = bell
            return state.isGone
        }
        if isGone { bell?.ring(.hangUp) }
    }

    /// The client has closed its side, or the connection is dead.
    func hungUp() {
        let bell = state.withLock { state in
            state.isGone = true
            return state.bell
        }
        bell?.ring(.hangUp)
    }

    // MARK: Answers

    /// What writes the rest of an answer, its end included.
    typealias Rest = @Sendable () async throws -> Void

    /// Writes an answer, with a single flush if its body is there.
    ///
    /// - Returns: what writes the body of one that comes in pieces.
    func begin(_ response: Response) -> Rest? {
        switch response.body {
        case .none:
            channel.writeAndFlush(AnswerPart(head: response.head, isEnd: true), promise: nil)
        case .bytes(let bytes):
            channel.writeAndFlush(AnswerPart(head: response.head, body: bytes, isEnd: true), promise: nil)
        case .pieces(let length, let write):
            channel.write(AnswerPart(head: response.head), promise: nil)
            if length == nil, !response.isReady { channel.flush() }
            return write
        }
        return nil
    }

    /// Writes a piece of a body, and returns when the kernel has taken it.
    func write(_ piece: ByteBuffer) async throws {
        try await channel.writeAndFlush(AnswerPart(body: piece)).get()
    }

    /// Writes the end of an answer.
    func endAnswer() {
        channel.writeAndFlush(AnswerPart(isEnd: true), promise: nil)
    }

    /// Says "100 Continue" to a client that waits for it before it sends the body.
    func invite() async throws {
        try await channel.writeAndFlush(AnswerPart(head: .invitation)).get()
    }
}

extension Response {
    var head: ResponseHead {
        var status = status
        if status.reasonPhrase.isEmpty {
            // A model server's, of which only the code was kept.
            let usual = HTTPResponseStatus(statusCode: status.code).reasonPhrase
            status = HTTPResponse.Status(code: status.code, reasonPhrase: usual)
        }
        return ResponseHead(status: status, fields: headers, length: length, isLast: isLast)
    }
}
