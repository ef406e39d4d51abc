import HTTPTypes
import InferqCore
import NIOHTTP1

/// Which header fields pass between clients and model servers: all but those of one connection (RFC 9110, section
/// 7.6.1), credentials, and what the gateway sets itself.
enum HeaderPassage {
    /// Bytes of the fields of a request that pass. They are stored with the job.
    static let requestLimit = 8 << 10
    /// Bytes of the fields of an answer that pass.
    static let answerLimit = 16 << 10

    /// Of one connection, whatever `Connection` names; those that begin with `Proxy-` are, too.
    private static let hopByHop: Set<String> = [
        "connection", "http2-settings", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
    ]
    /// Meant for the gateway, or set by the gateway itself. `Content-Type` goes with the body.
    private static let ofGateway: Set<String> = [
        "accept-encoding", "content-length", "content-type", "expect", "host", "prefer", "traceparent", "x-attempt",
        "x-event-id", "x-inference-id", "x-notify-token", "x-notify-url", "x-request-id",
    ]
    private static let credentials: Set<String> = ["authorization", "cookie", "x-api-key"]

    /// The fields of a request that pass, in their order, without `Content-Type`.
    ///
    /// - Parameter authorization: whether `Authorization` does.
    /// - Throws: 431 past ``requestLimit``.
    static func toServer(_ headers: HTTPFields, authorization: Bool = false) throws(APIError) -> [HeaderField] {
        let named = names(in: headers.filter { $0.name == .connection }.map(\.value))
        var fields: [HeaderField] = []
        var byteCount = 0
        for field in headers {
            let name = field.name.canonicalName
            guard !isOfConnection(name, named), !ofGateway.contains(name), !name.hasPrefix("x-inferq-"),
                !credentials.contains(name) || authorization && name == "authorization",
                !field.value.contains(AccessKey.prefix)
            else { continue }
            let passed = HeaderField(field.name.rawName, field.value)
            byteCount += passed.byteCount
            guard byteCount <= requestLimit else { throw .callHeadTooLarge(limit: requestLimit) }
            fields.append(passed)
        }
        return fields
    }

    /// The fields of an answer that pass, in their order, without what goes with the body: `Content-Type`,
    /// `Content-Encoding` and `Content-Length`.
    ///
    /// - Returns: nil past ``answerLimit``.
    static func toClient(_ headers: HTTPHeaders) -> [HeaderField]? {
        let named = names(in: headers["connection"])
        var fields: [HeaderField] = []
        var byteCount = 0
        for (rawName, value) in headers {
            let name = rawName.lowercased()
            guard isOfAnswer(name, named) else { continue }
            let passed = HeaderField(rawName, value)
            byteCount += passed.byteCount
            guard byteCount <= answerLimit else { return nil }
            fields.append(passed)
        }
        return fields
    }

    /// - Parameter name: in lower case.
    fileprivate static func isOfAnswer(_ name: String, _ named: Set<String> = []) -> Bool {
        !isOfConnection(name, named) && !ofBody.contains(name)
    }

    private static let ofBody: Set<String> = ["content-encoding", "content-length", "content-type"]

    /// What a model server gets: the fields that passed and those of the configuration, which come instead of a client's
    /// of the same name.
    static func request(_ passed: [HeaderField], _ configured: [HeaderSetting]) -> HTTPHeaders {
        let names = Set(configured.map { $0.name.lowercased() })
        var headers = HTTPHeaders()
        for field in passed where !names.contains(field.name.lowercased()) {
            headers.add(name: field.name, value: field.value)
        }
        for field in configured { headers.add(name: field.name, value: field.value) }
        // Whatever the client takes: an answer that is compressed could not be shown.
        if !names.contains("accept-encoding") { headers.add(name: "Accept-Encoding", value: "identity") }
        return headers
    }

    /// Whether a request asks to speak WebSocket from now on (RFC 6455, section 4.1).
    static func isWebSocketHandshake(_ headers: HTTPFields) -> Bool {
        guard headers.contains(where: { $0.name.canonicalName == "sec-websocket-key" }) else { return false }
        return names(in: headers.filter { $0.name.canonicalName == "upgrade" }.map(\.value)).contains("websocket")
    }

    private static func isOfConnection(_ name: String, _ named: Set<String>) -> Bool {
        hopByHop.contains(name) || name.hasPrefix("proxy-") || named.contains(name)
    }

    /// The members of lists of tokens, in lower case.
    private static func names(in lists: [String]) -> Set<String> {
        Set(lists.flatMap { $0.split(separator: ",") }.map { $0.trimmingSpaces.lowercased() })
    }
}

extension HeaderField {
    /// As it goes over the wire.
    fileprivate var byteCount: Int { name.utf8.count + value.utf8.count + 4 }
}

extension HTTPFields {
    /// Fields whose names are no tokens are left out: no answer may have them. So are those that do not pass, which another
    /// host's worker may have sent all the same.
    init(_ fields: [HeaderField]) {
        self.init()
        reserveCapacity(fields.count)
        for field in fields {
            guard let name = HTTPField.Name(field.name), HeaderPassage.isOfAnswer(name.canonicalName)
            else { continue }
            append(HTTPField(name: name, value: field.value))
        }
    }
}
