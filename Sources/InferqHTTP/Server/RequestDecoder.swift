import NIOCore
import NIOHTTP1

/// Reads the requests of one connection, one after the other, whatever they offer.
///
/// After a request that offers to change the protocol, NIO's decoder reads no further: it leaves the rest of the
/// connection to that protocol. No route here takes such an offer, and then the requests go on as before (RFC 9110,
/// section 7.8; Java's client and `curl --http2` offer h2c with their first request). So a new decoder reads what follows.
final class RequestDecoder: ByteToMessageDecoder {
    typealias InboundOut = HTTPServerRequestPart

    private let limits: NIOHTTPDecoderLimitConfiguration
    private var decoder: HTTPRequestDecoder
    private var isSpent = false

    init(limits: NIOHTTPDecoderLimitConfiguration) {
        self.limits = limits
        decoder = HTTPRequestDecoder(limitConfiguration: limits)
    }

    /// Says that a request whose ``UpgradeOffer`` is ``UpgradeOffer/plain`` has come to its end. Called from within the
    /// decoder's own reading.
    func offeringRequestEnded() {
        isSpent = true
    }

    func decoderAdded(context: ChannelHandlerContext) {
        decoder.decoderAdded(context: context)
    }

    func decoderRemoved(context: ChannelHandlerContext) {
        decoder.decoderRemoved(context: context)
    }

    func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) throws -> DecodingState {
        _ = try decoder.decode(context: context, buffer: &buffer)
        return renewed(context) && buffer.readableBytes > 0 ? .continue : .needMoreData
    }

    func decodeLast(context: ChannelHandlerContext, buffer: inout ByteBuffer, seenEOF: Bool) throws -> DecodingState {
        _ = try decoder.decodeLast(context: context, buffer: &buffer, seenEOF: seenEOF)
        return renewed(context) && buffer.readableBytes > 0 ? .continue : .needMoreData
    }

    /// - Returns: whether there is a new decoder, which has seen nothing of the buffer yet.
    private func renewed(_ context: ChannelHandlerContext) -> Bool {
        guard isSpent else { return false }
        isSpent = false
        decoder.decoderRemoved(context: context)
        decoder = HTTPRequestDecoder(limitConfiguration: limits)
        decoder.decoderAdded(context: context)
        return true
    }
}

/// Whether a request offers to change the protocol, as NIO's decoder (llhttp) sees it.
enum UpgradeOffer: Equatable {
    case none
    /// Surely: the decoder stops at the end of this request.
    case plain
    /// Written in a way that only the decoder itself can judge: the connection ends with the answer.
    case odd

    init(_ headers: HTTPHeaders) {
        let protocols = headers["upgrade"]
        guard !protocols.isEmpty else {
            self = .none
            return
        }
        let options = headers["connection"]
        guard options.contains(where: { $0.lowercased().contains("upgrade") }) else {
            self = .none
            return
        }
        guard protocols.allSatisfy({ !$0.isEmpty }), options.allSatisfy({ $0.utf8.allSatisfy(Self.isPlain) }) else {
            self = .odd
            return
        }
        let names = options.flatMap { $0.split(separator: ",") }.map { $0.trimmingSpaces.lowercased() }
        self = names.contains("upgrade") ? .plain : .none
    }

    /// Of a list of tokens that are separated by commas and spaces.
    private static func isPlain(_ byte: UInt8) -> Bool {
        byte.isTokenCharacter || byte == UInt8(ascii: ",") || byte == UInt8(ascii: " ")
    }
}
