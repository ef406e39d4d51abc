import InferqCore
import InferqHTTP
import NIOCore
import NIOHTTP1

/// The options of a job, as the command line gave them.
struct SubmitOptions: Sendable, Equatable {
    /// An option as the gateway reads it in JSON and in a query.
    struct Item: Sendable, Equatable {
        enum Value: Sendable, Equatable {
            case number(Int)
            case text(String)
        }

        let name: String
        let value: Value
    }

    private(set) var items: [Item] = []
    let key: String?

    init(priority: Int? = nil, timeout: String? = nil, key: String? = nil) throws(ClientError) {
        if let priority {
            guard Job.priorities.contains(priority) else {
                throw ClientError(.usage, "--priority \(priority) is out of range; choose -100 to 100")
            }
            items.append(Item(name: "priority", value: .number(priority)))
        }
        if let timeout {
            guard let duration = DurationText.parse(timeout), duration > .zero else {
                throw ClientError(
                    .usage, "--timeout \(timeout.quoted()) is not a duration; write something like 30s or 5m")
            }
            items.append(Item(name: "timeout", value: .text(DurationText.format(duration))))
        }
        if let key, AccessKey(key) != nil {
            throw ClientError(.usage, "--key takes an idempotency key, and this is an access key; set INFERQ_KEY to it")
        }
        if let key, !IdempotencyKey.isValid(key) {
            throw ClientError(.usage, "--key is not 1 to 255 visible ASCII characters; choose another one")
        }
        self.key = key
    }
}

/// One submit, as it goes over the wire.
///
/// JSON goes into an envelope, whose `input` member the model server gets as it is; anything else goes as it is, with
/// the options in the query.
struct SubmitRequest: Sendable {
    let path: String
    let headers: HTTPHeaders
    let body: ClientRequest.Body

    init(model: String, input: JobInput, options: SubmitOptions) {
        var headers: HTTPHeaders = ["Content-Type": input.contentType]
        if let key = options.key { headers.add(name: "Idempotency-Key", value: key) }
        self.headers = headers
        switch input.content {
        case .json(let json):
            path = "/v1/async/inference"
            body = .bytes(ByteBuffer(bytes: Self.envelope(model, json, options)))
        case .bytes(let bytes):
            path = Self.path(model, options)
            body = .bytes(ByteBuffer(bytes: bytes))
        case .chunks(let chunks):
            path = Self.path(model, options)
            body = .stream(length: chunks.byteCount, chunks.send(to:))
        }
    }

    /// A call of the model server in its own language, as a job that outlives the connection.
    ///
    /// - Parameter callPath: at the model server, with its query; it begins with a slash.
    init(model: String, callPath: String, input: JobInput, options: SubmitOptions) {
        var headers: HTTPHeaders = ["Content-Type": input.contentType, "Prefer": "respond-async"]
        if let key = options.key { headers.add(name: "Idempotency-Key", value: key) }
        for item in options.items {
            let value: String =
                switch item.value {
                case .number(let number): String(number)
                case .text(let text): text
                }
            headers.add(name: "X-Inferq-\(item.name.replacing("_", with: "-"))", value: value)
        }
        self.headers = headers
        path = "/upstream/\(model.percentEncoded)\(callPath)"
        body =
            switch input.content {
            case .json(let bytes), .bytes(let bytes): .bytes(ByteBuffer(bytes: bytes))
            case .chunks(let chunks): .stream(length: chunks.byteCount, chunks.send(to:))
            }
    }

    static func envelope(_ model: String, _ json: [UInt8], _ options: SubmitOptions) -> [UInt8] {
        var writer = JSONWriter(capacity: json.count + model.utf8.count + 128)
        writer.beginObject()
        writer.name("model")
        writer.value(model)
        if !options.items.isEmpty {
            writer.name("job")
            writer.beginObject()
            for item in options.items {
                writer.name(escaping: item.name)
                switch item.value {
                case .number(let number): writer.value(number)
                case .text(let text): writer.value(text)
                }
            }
            writer.endObject()
        }
        writer.name("input")
        writer.raw(json)
        writer.endObject()
        return writer.bytes
    }

    static func path(_ model: String, _ options: SubmitOptions) -> String {
        options.items.reduce(into: "/v1/async/inference?model=\(model.percentEncoded)") { path, item in
            let text =
                switch item.value {
                case .number(let number): String(number)
                case .text(let text): text.percentEncoded
                }
            path += "&\(item.name)=\(text)"
        }
    }
}
