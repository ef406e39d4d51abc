import NIOCore
import NIOHTTP1

/// What keeps a request from being well-formed HTTP/1.1, as far as its sender can be told.
enum MalformedHTTP: Equatable {
    /// There are so many `Host` fields, and not one.
    case hosts(Int)
    /// More than one field says where the body ends.
    case lengths
    case chunksInHTTP10
    case target
    /// The body has fewer bytes than its `Content-Length` says.
    case shortBody(Int, of: Int)
    /// Somebody begins TLS where there is none.
    case tls
    case http2
    /// What the decoder says.
    case unreadable(HTTPParserError)

    /// - Parameter bytes: those that the decoder gave up at.
    init(_ error: HTTPParserError, in bytes: ByteBuffer) {
        if bytes.readableBytesView.starts(with: [0x16, 0x03]) {
            self = .tls
        } else if bytes.readableBytesView.starts(with: "PRI * HTTP/2".utf8) {
            self = .http2
        } else {
            self = .unreadable(error)
        }
    }

    /// The end of a sentence; nil where there is nothing to say but that it is malformed.
    var reason: String? {
        switch self {
        case .hosts(0): "it has no Host header"
        case .hosts(let count): "it has \(count) Host headers"
        case .lengths, .unreadable(.unexpectedContentLength):
            "it has more than one of the headers Content-Length and Transfer-Encoding"
        case .chunksInHTTP10: "HTTP/1.0 has no Transfer-Encoding"
        case .target: "its target is neither a path nor a URL with the host of the Host header"
        case .shortBody(let count, let announced): "its body ended after \(count) of \(announced) bytes"
        case .tls: "it begins like TLS, and this address speaks plain HTTP"
        case .http2: "it is HTTP/2, which this gateway does not speak"
        case .unreadable(.invalidMethod): "it does not begin with a method"
        case .unreadable(.invalidURL): "its target is not a path, or holds a byte that must be percent-encoded"
        case .unreadable(.invalidVersion), .unreadable(.invalidConstant):
            "its first line is not a method, a target and HTTP/1.1, and CR LF behind them"
        case .unreadable(.invalidHeaderToken): "a header has a malformed name or value"
        case .unreadable(.invalidContentLength):
            "its Content-Length is not a number, or there is a Transfer-Encoding as well"
        case .unreadable(.invalidChunkSize): "the size of a chunk is not a hexadecimal number, or is too large"
        case .unreadable(.lfExpected): "a line does not end with CR LF"
        case .unreadable(.strictModeAssertion):
            "a line or a chunk does not end with CR LF, or a chunk has a malformed extension"
        case .unreadable(.invalidEOFState): "it ended too early"
        case .unreadable(.closedConnection): "more bytes came after a request with Connection: close"
        case .unreadable: nil
        }
    }
}
