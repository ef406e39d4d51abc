import HTTPTypes
import InferqCore
import InferqQueue
import InferqStore
import NIOCore
import Synchronization

/// What the client of a call gets whose answer comes piece by piece: its bytes as they are committed.
///
/// Whatever breaks it off is told apart from its end: the client gets one error of its dialect, where that can be put,
/// and then a transfer that is cut.
struct CallStream: Sendable {
    let gateway: Gateway
    let context: GatewayContext
    let job: UUIDv7
    let run: PieceRun
    let head: StreamHead
    let call: Call
    /// Whether the job goes on when its client is cut off since the attempt has failed.
    let goesOnWithoutClient: Bool
    /// Called when the client has gone before the end.
    let whenGone: @Sendable () -> Void
    /// Called at the end, whatever it is.
    let whenOver: @Sendable () -> Void

    /// Proxies close connections that are silent for a minute. Clients of event streams skip comment lines.
    private static let silence = Duration.seconds(15)

    /// - Parameter headers: whose answer it is.
    func response(_ headers: HTTPFields) -> Response {
        let status = HTTPResponse.Status(code: head.answer?.status ?? 200, reasonPhrase: "")
        var response = Response(status: status, headers: headers, body: .pieces(length: nil) { try await send() })
        response.isReady = true
        return response
    }

    private func send() async throws {
        defer { whenOver() }
        let follower = AnswerFollower(gateway, context)
        let end = FrameEnd(framing)
        do {
            let reason = try await follower.follow(
                from: StreamCursor(run, byte: 0), silence: framing == .events ? Self.silence : nil,
                idle: { follower in if end.isThere { try await follower.write([UInt8](":\n".utf8)) } },
                written: { end.note($0) }
            )
            if case .completed = reason { return context.connection.endAnswer() }
            if !goesOnWithoutClient { whenGone() }
            if end.isThere, let frame = try await errorFrame(reason) { try await follower.write(frame) }
        } catch {
            // It has hung up, its connection is dead, it did not read, or the store does not answer.
            whenGone()
            throw error
        }
        // The transfer is cut: no client may take a part for the whole.
        throw ChannelError.eof
    }

    private var framing: StreamFraming { StreamForm(call.dialect, path: call.path, head).framing }

    /// Nil where the model server's own words stand in the stream.
    private func errorFrame(_ reason: AnswerFollower.End) async throws -> [UInt8]? {
        let ended = try await gateway.store.head(job)
        if ended?.error?.code == .streamError, ended?.attempt == run.attempt { return nil }
        let error: APIError =
            if case .stopping = reason {
                .stopping
            } else if let ended, ended.status.isFinal {
                .jobEnded(ended, namesCause: true)
            } else {
                .attemptBroke
            }
        return StreamErrorFrame.bytes(
            call.dialect, path: call.path, framing: framing, code: error.code.rawValue, message: error.detail)
    }
}

/// Whether what was written ends where a frame does.
private final class FrameEnd: Sendable {
    private let scanner: Mutex<StreamScanner>

    init(_ framing: StreamFraming) {
        scanner = Mutex(StreamScanner(framing: framing, mark: .none, findsErrors: false))
    }

    func note(_ bytes: [UInt8]) {
        scanner.withLock { scanner in bytes.withUnsafeBytes { scanner.read($0) } }
    }

    var isThere: Bool { scanner.withLock { $0.frameEnd == $0.byteCount } }
}
