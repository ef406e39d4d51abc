/// Why an attempt gave no output, or why a job ended without one. Stored with the job and shown as `error`.
package struct Failure: Error, Sendable, Equatable {
    /// The closed list of causes: stored, shown and used as a metric label, so never renamed.
    package enum Code: String, Sendable, CaseIterable {
        /// No connection to the model server could be made.
        case connectFailed = "connect_failed"
        /// The answer broke, was not HTTP or stopped half way.
        case badResponse = "bad_response"
        /// A status other than 2xx, also the 503 of a model that was still loading after `ready_timeout`.
        case httpError = "http_error"
        /// The answer came as a stream, and told of an error in it.
        case streamError = "stream_error"
        /// The attempt took longer than one of its limits: `timeout`, `first_byte_timeout` or `idle_timeout`.
        case timeout
        /// The answer was larger than `max_answer`.
        case tooLarge = "too_large"
        /// The first attempt had not begun by `expires_at`.
        case expired
        /// The gateway, or workers elsewhere, crashed three times while this job ran, the third time alone.
        case poisoned
    }

    package var code: Code
    /// One sentence for people, without secrets or paths.
    package var message: String
    /// The attempt that failed; 0 when none had begun.
    package var attempt: Int
    package var isRetryable: Bool
    /// The model server's HTTP status, for ``Code/httpError``.
    package var status: Int?
    /// The first 4 KiB of the model server's answer as text, for ``Code/httpError``.
    package var body: String?

    package init(
        _ code: Code,
        _ message: String,
        attempt: Int = 0,
        isRetryable: Bool,
        status: Int? = nil,
        body: String? = nil
    ) {
        self.code = code
        self.message = message
        self.attempt = attempt
        self.isRetryable = isRetryable
        self.status = status
        self.body = body
    }
}

// MARK: Stored form

extension Failure {
    /// Compact ASCII JSON with the member names that clients see; what the store keeps.
    package var json: [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("code")
        writer.value(code.rawValue)
        writer.name("message")
        writer.value(message)
        writer.name("attempt")
        writer.value(attempt)
        writer.name("retryable")
        writer.value(isRetryable)
        if let status {
            writer.name("status")
            writer.value(status)
        }
        if let body {
            writer.name("body")
            writer.value(body)
        }
        writer.endObject()
        return writer.bytes
    }

    /// Reads what ``json`` wrote. A code that this version does not know is read as ``Code/badResponse``.
    package init(json bytes: [UInt8]) {
        self.init(.badResponse, "", isRetryable: false)
        for member in JSONScanner.members(of: bytes, in: bytes.indices) {
            switch member.name {
            case "code":
                code = JSONScanner.string(in: bytes, member.value).flatMap(Code.init) ?? .badResponse
            case "message": message = JSONScanner.string(in: bytes, member.value) ?? ""
            case "attempt": attempt = JSONScanner.integer(in: bytes, member.value) ?? 0
            case "retryable": isRetryable = bytes[member.value.lowerBound] == UInt8(ascii: "t")
            case "status": status = JSONScanner.integer(in: bytes, member.value)
            case "body": body = JSONScanner.string(in: bytes, member.value)
            default: break
            }
        }
    }
}
