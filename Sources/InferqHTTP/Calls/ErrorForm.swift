import HTTPTypes
import InferqCore
import NIOCore

/// How the error of a call is put, so that the clients of its dialect can read it.
enum ErrorForm: Sendable, Equatable {
    /// RFC 9457, as on the gateway's own paths.
    case problem
    /// `{"error": {"message", "type", "param", "code"}}`
    case openai
    /// `{"type": "error", "error": {"type", "message"}}`
    case anthropic
    /// `{"error": "text"}`: Ollama and the Open Inference Protocol.
    case text

    /// Of the calls of a model.
    ///
    /// - Parameter path: as the model server sees it.
    init(_ dialect: Dialect, path: String) {
        switch dialect {
        case .none: self = .problem
        case .openai: self = Self.isOfAnthropic(path) ? .anthropic : .openai
        case .ollama where path.hasPrefix("/v1/"): self = Self.isOfAnthropic(path) ? .anthropic : .openai
        case .ollama, .kserve: self = .text
        }
    }

    /// By the path alone, for what is answered before any model is known.
    static func of(path: String) -> ErrorForm {
        let mount = "/upstream/"
        if path.hasPrefix(mount) {
            let rest = path.dropFirst(mount.count)
            guard let slash = rest.firstIndex(of: "/") else { return .problem }
            return of(path: String(rest[slash...]))
        }
        let segments = path.split(separator: "/", maxSplits: 2)
        switch segments.first {
        case "api": return .text
        case "v1":
            guard segments.count > 1, !ownNames.contains(segments[1]) else { return .problem }
            return isOfAnthropic(path) ? .anthropic : .openai
        case "v2":
            guard segments.count > 1 else { return .text }
            // The list of models, and each of them, are the gateway's own; what is below them is not.
            if segments[1] == "models" { return segments.last?.contains("/") == true ? .text : .problem }
            return ownNames.contains(segments[1]) ? .problem : .text
        default: return .problem
        }
    }

    /// Of the gateway's own routes that are the OpenAI API's; nil for all others, which have problem documents.
    static func ofOwn(path: String) -> ErrorForm? {
        let segments = path.split(separator: "/", maxSplits: 2)
        return segments.first == "v1" && segments.count > 1 && openAINames.contains(segments[1]) ? .openai : nil
    }

    private static let openAINames: Set<Substring> = ["batches", "files", "responses"]

    /// The gateway's own, below `/v1` and `/v2`.
    private static let ownNames: Set<Substring> = [
        "async", "clients", "events", "inference", "me", "models", "notifications", "session", "status", "store",
        "workers",
    ]

    private static func isOfAnthropic(_ path: String) -> Bool {
        path == "/v1/messages" || path.hasPrefix("/v1/messages/")
    }
}

// MARK: Answers

extension ErrorForm {
    /// openai-python does not repeat a request whose `Retry-After` is longer (`_base_client.py`). Seconds.
    static let longestRetryAfter = 120

    /// - Parameters:
    ///   - instance: the request's path, for the problem document.
    ///   - target: the path with the query, for the job of another gateway.
    func response(for error: APIError, instance: String?, target: String = "") -> Response {
        var response = error.response(instance: instance, target: target)
        if let body = document(error) {
            var headers = response.headers
            headers[.contentType] = "application/json"
            response = Response(
                status: response.status, headers: headers, body: .bytes(body), isLast: response.isLast)
        }
        if let seconds = response.headers[.retryAfter].flatMap({ Int(saturating: $0) }) {
            response.headers[.retryAfter] = String(min(seconds, Self.longestRetryAfter))
        }
        return response
    }

    /// Nil for a problem document.
    private func document(_ error: APIError) -> ByteBuffer? {
        var writer = JSONWriter(capacity: 256)
        writer.beginObject()
        switch self {
        case .problem: return nil
        case .text:
            writer.name("error")
            writer.value(error.detail)
        case .openai:
            writer.name("error")
            writer.beginObject()
            writer.name("message")
            writer.value(error.detail)
            writer.name("type")
            writer.value(Self.openAIType(of: error.status.code))
            writer.name("param")
            writer.null()
            writer.name("code")
            writer.value(error.code.rawValue)
            writer.endObject()
        case .anthropic:
            writer.name("type")
            writer.value("error")
            writer.name("error")
            writer.beginObject()
            writer.name("type")
            writer.value(Self.anthropicType(of: error.status.code))
            writer.name("message")
            writer.value(error.detail)
            writer.endObject()
        }
        writer.endObject()
        return ByteBuffer(bytes: writer.bytes)
    }

    private static func openAIType(of status: Int) -> String {
        switch status {
        case 429: "rate_limit_error"
        case ..<500: "invalid_request_error"
        default: "server_error"
        }
    }

    private static func anthropicType(of status: Int) -> String {
        switch status {
        case 401: "authentication_error"
        case 403: "permission_error"
        case 404: "not_found_error"
        case 413: "request_too_large"
        case 429: "rate_limit_error"
        case ..<500: "invalid_request_error"
        case 503: "overloaded_error"
        case 504: "timeout_error"
        default: "api_error"
        }
    }
}
