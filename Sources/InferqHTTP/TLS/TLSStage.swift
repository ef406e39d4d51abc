import Logging
import NIOCore
import NIOSSL
import NIOTLS

/// The stages of a connection that speaks TLS, before those of HTTP.
struct TLSStages {
    private let identity: TLSIdentity
    private let metrics: HTTPMetrics
    private let logger: Logger

    init(_ identity: TLSIdentity, metrics: HTTPMetrics, logger: Logger) {
        self.identity = identity
        self.metrics = metrics
        self.logger = logger
    }

    func add(to pipeline: ChannelPipeline.SynchronousOperations, of connection: Connection) throws {
        try pipeline.addHandler(identity.handler())
        try pipeline.addHandler(TLSStage(connection, metrics: metrics, logger: logger))
    }
}

/// Stands behind the stage that decrypts: tells the connection whom the handshake has shown, and keeps from the stages
/// after it what only TLS knows.
final class TLSStage: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let connection: Connection
    private let metrics: HTTPMetrics
    private let logger: Logger
    private var hasAgreed = false

    init(_ connection: Connection, metrics: HTTPMetrics, logger: Logger) {
        self.connection = connection
        self.metrics = metrics
        self.logger = logger
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case TLSUserEvent.handshakeCompleted? = event as? TLSUserEvent {
            hasAgreed = true
            // One is there only if it was asked for, and has been verified then.
            if let certificate = try? context.pipeline.syncOperations.nioSSL_peerCertificate() {
                connection.peerNames = CertificateFacts(certificate).peerNames
            }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Many clients close without saying so before. Requests tell their length, so nothing can be cut off unseen, and
        // the close itself follows: it is a hang-up like that of a connection without TLS.
        if case NIOSSLError.uncleanShutdown = error { return }
        if !hasAgreed { logger.trace("a TLS handshake failed", metadata: ["reason": "\(Self.reason(error))"]) }
        context.fireErrorCaught(error)
    }

    /// What the library calls the cause. The rest of its text is for its programmers.
    private static func reason(_ error: any Error) -> String {
        let text = "\(error)"
        guard let begin = text.firstRange(of: "OPENSSL_internal:")?.upperBound else {
            return text.contains("EOF") ? "the client closed" : "\(type(of: error))"
        }
        return String(text[begin...].prefix { $0.isUppercase || $0.isNumber || $0 == "_" })
    }

    func channelInactive(context: ChannelHandlerContext) {
        if !hasAgreed { metrics.failedHandshakes.add() }
        context.fireChannelInactive()
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard hasAgreed else {
            // The time for a head is over, and with it that for the handshake: no one could read an answer.
            promise?.fail(ChannelError.ioOnClosedChannel)
            return context.close(promise: nil)
        }
        context.write(data, promise: promise)
    }
}
