import InferqCore
import InferqHTTP
import NIOCore
import NIOHTTP1
import NIOPosix

/// The model server of a demo: it writes a text of some fifty words within three seconds, and tells of its progress.
///
/// A request with `messages` it answers as OpenAI's API does, as a stream or whole, and any other with plain text.
struct DemoModelServer {
    /// What it writes.
    static let words = """
        The box stands in a hut by the sea and answers questions about the tide. Last night the power failed in the \
        middle of a sentence. When it came back, the question was still there, every word that had been read was still \
        there, and the answer was written to its end.
        """.split(separator: " ").map { "\($0) " }

    /// For the whole text.
    static let duration = Duration.seconds(3)

    private typealias Connection = NIOAsyncChannel<HTTPServerRequestPart, HTTPServerResponsePart>

    private let listener: NIOAsyncChannel<Connection, Never>
    let url: String

    /// On a free port of this host.
    static func listening() async throws -> DemoModelServer {
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    return try Connection(wrappingChannelSynchronously: channel)
                }
            }
        return DemoModelServer(
            listener: listener, url: "http://127.0.0.1:\(listener.channel.localAddress?.port ?? 0)")
    }

    /// Serves until the task is cancelled.
    func run() async throws {
        try await HTTPClient.withClient { gateway in
            try await listener.executeThenClose { connections in
                try await withThrowingDiscardingTaskGroup { group in
                    for try await connection in connections {
                        // A client that hangs up ends its connection and nothing else.
                        group.addTask { try? await serve(connection, gateway) }
                    }
                }
            }
        }
    }

    private func serve(_ connection: Connection, _ gateway: HTTPClient) async throws {
        try await connection.executeThenClose { parts, outbound in
            var head: HTTPRequestHead?
            var body: [UInt8] = []
            for try await part in parts {
                switch part {
                case .head(let begun):
                    head = begun
                    body = []
                case .body(let bytes): body += bytes.readableBytesView
                case .end:
                    if let head { try await answer(head, body, outbound, gateway) }
                }
            }
        }
    }

    private func answer(
        _ head: HTTPRequestHead,
        _ body: [UInt8],
        _ outbound: NIOAsyncChannelOutboundWriter<HTTPServerResponsePart>,
        _ gateway: HTTPClient
    ) async throws {
        let form = Form(body)
        var headers: HTTPHeaders = ["Content-Type": form.contentType]
        if form.isWhole { headers.add(name: "Content-Length", value: "\(form.whole.utf8.count)") }
        let answer = HTTPResponseHead(version: .http1_1, status: .ok, headers: headers)
        if !form.isWhole { try await outbound.write(.head(answer)) }
        for (index, word) in Self.words.enumerated() {
            if index % 10 == 9 { await tell(Double(index + 1) / Double(Self.words.count), of: head, gateway) }
            try await Task.sleep(for: Self.duration / Self.words.count)
            if !form.isWhole { try await outbound.write(.body(.byteBuffer(ByteBuffer(string: form.piece(word))))) }
        }
        if form.isWhole {
            try await outbound.write(.head(answer))
            try await outbound.write(.body(.byteBuffer(ByteBuffer(string: form.whole))))
        } else if !form.last.isEmpty {
            try await outbound.write(.body(.byteBuffer(ByteBuffer(string: form.last))))
        }
        try await outbound.write(.end(nil))
    }

    /// Losing this loses nothing else.
    private func tell(_ progress: Double, of head: HTTPRequestHead, _ gateway: HTTPClient) async {
        guard let url = head.headers.first(name: "X-Notify-Url"), let event = head.headers.first(name: "X-Event-Id"),
            let token = head.headers.first(name: "X-Notify-Token")
        else { return }
        var notice = JSONWriter()
        notice.beginObject()
        notice.name("event_id")
        notice.value(event)
        notice.name("detail_type")
        notice.value("Inf:Task:Notify")
        notice.name("source")
        notice.value("demo")
        notice.name("detail")
        notice.beginObject()
        notice.name("message")
        notice.value("writing")
        notice.name("progress")
        notice.value(progress)
        notice.endObject()
        notice.endObject()
        let request = ClientRequest(
            .POST, url, headers: ["Content-Type": "application/json", "X-Notify-Token": token],
            body: .bytes(ByteBuffer(bytes: notice.bytes))
        )
        _ = try? await gateway.send(request, within: .seconds(2)).bytes(upTo: 64 << 10)
    }
}

extension DemoModelServer {
    /// In which form the text goes.
    enum Form {
        case text
        case chat
        case chatStream

        init(_ body: [UInt8]) {
            let kind = try? JSONScanner.validate(body)
            let members = kind == .object ? JSONScanner.members(of: body, in: body.indices) : []
            guard members.contains(where: { $0.name == "messages" }) else {
                self = .text
                return
            }
            let wantsStream = members.first { $0.name == "stream" }.map { body[$0.value].elementsEqual("true".utf8) }
            self = wantsStream == true ? .chatStream : .chat
        }

        /// Whether it is sent at once, with its length.
        var isWhole: Bool { self == .chat }

        var contentType: String {
            switch self {
            case .text: "text/plain; charset=utf-8"
            case .chat: "application/json"
            case .chatStream: "text/event-stream"
            }
        }

        var whole: String {
            let message = #"{"role":"assistant","content":"\#(DemoModelServer.words.joined())"}"#
            return #"{"id":"chatcmpl-demo","object":"chat.completion","created":0,"model":"demo","choices":"#
                + #"[{"index":0,"message":\#(message),"finish_reason":"stop"}]}"#
        }

        /// The words of the text need no escaping.
        func piece(_ word: String) -> String {
            self == .text ? word : Self.frame(#"{"content":"\#(word)"}"#, reason: "null")
        }

        var last: String {
            self == .chatStream ? Self.frame("{}", reason: #""stop""#) + "data: [DONE]\n\n" : ""
        }

        private static func frame(_ delta: String, reason: String) -> String {
            #"data: {"id":"chatcmpl-demo","object":"chat.completion.chunk","created":0,"model":"demo","choices":"#
                + #"[{"index":0,"delta":\#(delta),"finish_reason":\#(reason)}]}"# + "\n\n"
        }
    }
}
