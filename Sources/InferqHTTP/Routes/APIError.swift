import HTTPTypes
import InferqCore
import InferqQueue
import InferqStore
import NIOCore

/// What is wrong with a request: an RFC 9457 problem document. The catalogue below has one entry for each cause.
struct APIError: Error, Sendable {
    let code: ProblemCode
    /// One sentence: what was wrong and where.
    let detail: String
    var headers = HTTPFields()
    /// The job that the problem is about.
    var id: UUIDv7?
    /// The job's `error`, as JSON.
    var cause: [UInt8]?
    /// The URL of the gateway that has what was asked for, without a slash at the end.
    var gateway: String?
    /// The rest of the request is not read: the connection cannot be used again.
    var closesConnection = false
    /// In place of the code's own.
    private var otherStatus: HTTPResponse.Status?

    init(_ code: ProblemCode, _ detail: String) {
        self.code = code
        self.detail = detail
    }

    var status: HTTPResponse.Status { otherStatus ?? code.status }

    func with(_ name: HTTPField.Name, _ value: String) -> APIError {
        var error = self
        error.headers[name] = value
        return error
    }

    var closing: APIError {
        var error = self
        error.closesConnection = true
        return error
    }
}

// MARK: The catalogue

extension APIError {
    static func malformedJSON(_ error: JSONError) -> APIError {
        APIError(.malformedJSON, "The body is not valid JSON: \(error).")
    }

    /// - Parameter place: the member's path or the query item.
    static func invalid(_ place: String, _ reason: String) -> APIError {
        APIError(.invalidRequest, "\(place): \(reason).")
    }

    static let noModel = APIError.invalid("query item model", "it is missing; a body that is not JSON needs it")

    static let unlabeledJSON = APIError.invalid(
        "header Content-Type", "it does not say that the body is JSON; send Content-Type: application/json"
    )

    /// - Parameter text: what stands in place of a time. The `+` of an offset is a space in a query.
    static func notATime(_ place: String, _ text: String) -> APIError {
        guard Timestamp(rfc3339: text.replacing(" ", with: "+")) == nil else {
            return .invalid(place, "it has a space in place of the + of its offset; write that + as %2B")
        }
        return .invalid(place, "it must be an RFC 3339 time such as \"2026-01-31T12:00:00Z\"")
    }

    static func invalidUUID(_ text: String) -> APIError {
        APIError(.invalidID, "\"\(text.clipped)\" in the path is not a UUID.")
    }

    static func malformed(_ fault: MalformedHTTP) -> APIError {
        let reason = fault.reason.map { ": \($0)" } ?? ""
        return APIError(.malformedHTTP, "The request is not well-formed HTTP/1.1\(reason).").closing
    }

    static func forbiddenOrigin(_ origin: String) -> APIError {
        APIError(
            .forbiddenOrigin,
            "Pages of \"\(origin.clipped)\" may not call this gateway; name the origin in the setting origins to allow it."
        )
    }

    static let wrongToken = APIError(
        .wrongToken, "The header X-Notify-Token does not hold the token that this job's attempt was called with."
    )

    static func attemptOver(_ status: Status) -> APIError {
        APIError(.attemptOver, "The attempt that this token was given for is over; the job is \(Wire.status(status)).")
    }

    static func detailTooLarge(limit: Int) -> APIError {
        APIError(.detailTooLarge, "What a listener would get is larger than \(limit) bytes; hand over less, or a link.")
    }

    static func tooManyReports(limit: Int) -> APIError {
        APIError(
            .tooManyEvents, "The job already has \(limit) reports, the setting limits.events_per_job; it takes no more."
        )
    }

    static func noSuchPath(_ path: String) -> APIError {
        APIError(.noSuchPath, "There is nothing at \"\(path.clipped)\".")
    }

    static func gone(_ id: UUIDv7) -> APIError {
        APIError(.gone, "The job with the identifier \(id) was deleted.")
    }

    static func wrongState(_ id: UUIDv7, _ status: Status, _ action: String) -> APIError {
        APIError(.wrongState, "The job \(id) cannot be \(action): it is \(Wire.status(status)).")
    }

    static func noSuchModel(_ name: String) -> APIError {
        APIError(.noSuchModel, "There is no model \"\(name.clipped)\".")
    }

    /// - Parameter known: the names that the models have at that path.
    static func modelNotFound(_ name: String, known: [String]) -> APIError {
        APIError(.modelNotFound, "There is no model \"\(name.clipped)\" at this path; \(list(of: known)).")
    }

    /// - Parameter name: what several models are called; nil: the request names none.
    static func ambiguousModel(_ name: String?, among models: [String]) -> APIError {
        let reason = name.map { "\"\($0.clipped)\" is a name of several models" } ?? "The request names no model"
        return APIError(.ambiguousModel, "\(reason); name one of \(models.prefix(1000).joined(separator: ", ")).")
    }

    static func noSuchJob(_ id: UUIDv7) -> APIError {
        APIError(.noSuchJob, "There is no job with the identifier \(id).")
    }

    static func otherGateway(_ id: UUIDv7, _ url: String) -> APIError {
        var error = APIError(
            .otherGateway, "The job with the identifier \(id) belongs to the gateway at \(url); ask there."
        )
        error.gateway = url
        return error
    }

    static func methodNotAllowed(_ method: String, allow: String) -> APIError {
        APIError(.methodNotAllowed, "\(method.clipped) is not offered here, only \(allow).").with(.allow, allow)
    }

    /// A well-formed method that HTTP's parser does not know, on whatever path.
    static let unknownMethod = APIError(
        .methodNotAllowed, "There is no such method here."
    ).with(.allow, "DELETE, GET, HEAD, OPTIONS, POST, PUT").closing

    static func notAcceptable(_ offered: String) -> APIError {
        APIError(.notAcceptable, "The answer is only offered as \(offered).")
    }

    static let notJSON = APIError(.notJSON, "The body must be application/json.")

    static let contentEncoding = APIError(
        .contentEncoding, "A body with a Content-Encoding is not accepted; send it unencoded."
    ).with(.acceptEncoding, "identity")

    static func noOutput(_ id: UUIDv7, _ status: Status) -> APIError {
        APIError(.noOutput, "The job \(id) has no output: it is \(Wire.status(status)).")
    }

    /// - Parameter setting: the limit's.
    static func bodyTooLarge(limit: Int, setting: String) -> APIError {
        APIError(.bodyTooLarge, "The body is larger than \(limit) bytes, the limit \(setting).").closing
    }

    static let headTimeout = APIError(.headTimeout, "The head of the request did not arrive in time.").closing

    static let bodyTimeout = APIError(.bodyTimeout, "The body of the request arrives too slowly.").closing

    static func targetTooLong(limit: Int) -> APIError {
        APIError(.targetTooLong, "The request target is longer than \(limit) bytes.").closing
    }

    static let expectation = APIError(
        .expectation, "The field Expect asks for something the gateway does not support; it supports only 100-continue."
    ).closing

    static let transferCoding = APIError(
        .transferCoding,
        "The body has a Transfer-Encoding other than chunked; send it in chunks or with a Content-Length."
    ).closing

    static let headTooLarge = APIError(
        .headTooLarge, "The head of the request has too many bytes or fields; see limits.head and limits.header_fields."
    ).closing

    static func misdirected(_ host: String) -> APIError {
        APIError(
            .misdirected, "The Host \"\(host.clipped)\" is not this gateway's; name it in the setting hosts if it is."
        )
    }

    static func unknownModel(_ name: String, known: [String]) -> APIError {
        APIError(.unknownModel, "There is no model \"\(name.clipped)\"; \(list(of: known)).")
    }

    private static func list(of known: [String]) -> String {
        known.isEmpty ? "none is configured" : "known models: \(known.prefix(1000).joined(separator: ", "))"
    }

    static let keyReused = APIError(
        .keyReused, "The idempotency key was used before, with another body, content type or query."
    )

    static func queueFull(_ model: String, limit: Int, retryAfter: Int) -> APIError {
        APIError(
            .queueFull,
            "The queue of \"\(model.clipped)\" is full, with \(limit) pending jobs; try again in \(retryAfter) s."
        ).with(.retryAfter, String(retryAfter))
    }

    static func clientLimit(_ model: String, _ bound: ClientBound, retryAfter: Int) -> APIError {
        let cause =
            switch bound {
            case .own(let limit): "You have \(limit) pending jobs, which is all that your max_pending allows"
            case .share(let pending, let free):
                "You have \(pending) pending jobs of \"\(model.clipped)\", and may have no more than its queue has free "
                    + "places, \(free)"
            }
        return APIError(.clientLimit, "\(cause); try again in \(retryAfter) s.").with(.retryAfter, String(retryAfter))
    }

    static let tooManyBodies = APIError(
        .bodiesInFlight, "Too many request bodies are being received at once; try again in 1 s."
    ).with(.retryAfter, "1").closing

    static let tooManyConnections = APIError(
        .connections, "The gateway has as many connections as it accepts; try again in 1 s."
    ).with(.retryAfter, "1").closing

    static let stopping = APIError(
        .stopping, "The gateway is restarting; try again in 1 s."
    ).with(.retryAfter, "1").closing

    static func storeFailed(_ reason: String) -> APIError {
        APIError(.storeUnavailable, "The store does not answer: \(reason).").with(.retryAfter, "5")
    }

    /// The gateway runs and cannot work: its configuration or its store must be mended first.
    static func degraded(_ reason: String) -> APIError {
        APIError(.degraded, "The gateway cannot work right now: \(reason).").with(.retryAfter, "10")
    }

    static let diskFull = APIError(
        .diskFull, "The disk has too little space for a new job; accepted jobs continue."
    ).with(.retryAfter, "60")

    /// - Parameter part: which part of the gateway is not ready, in one word.
    static func notReady(_ part: String, _ reason: String) -> APIError {
        APIError(.notReady, "\(part): \(reason).").with(.retryAfter, "5")
    }

    static let unixSocketOnly = APIError(
        .unixSocketOnly,
        "This is offered only on a Unix socket of the gateway (where keys are needed, on the one for root); add unix:PATH, or "
            + "admin+unix:PATH, to the setting listen."
    )

    static let copyInProgress = APIError(
        .copyInProgress, "Another backup or check of the store has not ended; try again in 10 s."
    ).with(.retryAfter, "10")

    static func noRoomForCopy(needed: Int, free: Int) -> APIError {
        APIError(
            .noRoomForCopy,
            "A copy needs \(needed) bytes on the store's disk temporarily, store.min_free included, and \(free) are free."
        ).with(.retryAfter, "60")
    }

    static func storeDamaged(_ reason: String) -> APIError {
        APIError(
            .storeDamaged, "A part of the store is damaged (\(reason)); its operator must restore a backup."
        )
    }

    static let unforeseen = APIError(.unforeseen, "The gateway hit an internal error; its log says more.")

    // MARK: Calls

    static let dotSegments = APIError.invalid("path", "it has a segment that is . or .., or may be read as one")

    static let closedCall = APIError(
        .closedCall, "Calls that administer a model server are not passed on; call the server itself."
    )

    static let upgradeUnsupported = APIError(
        .upgradeUnsupported, "The gateway passes on only HTTP requests and answers, no WebSocket and no tunnel."
    )

    /// - Parameter limit: bytes.
    static func callHeadTooLarge(limit: Int) -> APIError {
        APIError(
            .headTooLarge, "The header fields that are passed on to the model server have more than \(limit) bytes."
        )
    }

    static func connectFailed(_ model: String) -> APIError {
        APIError(.connectFailed, "The model server of \"\(model)\" cannot be reached.")
    }

    /// - Parameter reason: what the server did.
    static func badResponse(_ model: String, _ reason: String) -> APIError {
        APIError(.badResponse, "The model server of \"\(model)\" \(reason).")
    }

    /// - Parameter target: where the redirect leads.
    static func redirected(_ model: String, _ status: Int, to target: String?) -> APIError {
        let place = target.map { "a redirect to \($0.clipped)" } ?? "a redirect that leads nowhere"
        return APIError(
            .httpError,
            "The model server of \"\(model)\" answered with status \(status), \(place), which is not followed."
        )
    }

    /// - Parameter limit: of the time.
    static func answerTimeout(_ model: String, limit: Duration) -> APIError {
        let time = DurationText.format(limit)
        return APIError(.answerTimeout, "The model server of \"\(model)\" did not answer within \(time).")
    }

    /// - Parameter limit: bytes.
    static func answerTooLarge(_ model: String, limit: Int) -> APIError {
        APIError(.answerTooLarge, "The answer of the model server of \"\(model)\" is larger than \(limit) bytes.")
    }

    /// The attempt whose answer a client was getting has ended, and the job goes on.
    static let attemptBroke = APIError(
        .badResponse, "The attempt ended before its answer was complete; the job is repeated from the beginning.")

    /// A job that a client waited for and that gave no output.
    ///
    /// - Parameter namesCause: whether the code is that of the job's error, as in the answer to a call.
    static func jobEnded(_ job: Job, namesCause: Bool = false) -> APIError {
        var error: APIError
        if job.status == .cancelled {
            error = APIError(.cancelled, "The job \(job.id) was cancelled.")
        } else {
            let cause = namesCause ? job.error.flatMap { ProblemCode(rawValue: $0.code.rawValue) } : nil
            error = APIError(
                cause ?? .jobFailed,
                "The job \(job.id) ended in an error: \(job.error?.message ?? "no cause is known")."
            )
            error.otherStatus = status(of: job.error)
        }
        error.id = job.id
        error.cause = job.error?.json ?? Array("null".utf8)
        // The clients of OpenAI and others repeat a 409, a 429 and every 5xx: that would be a new job each time.
        return error.with(.xShouldRetry, "false")
    }

    /// What the model server found wrong with the request stays the client's error; all else is a bad gateway's.
    private static func status(of failure: Failure?) -> HTTPResponse.Status {
        switch (failure?.code, failure?.status) {
        case (.timeout, _), (.expired, _): .gatewayTimeout
        case (.httpError, let status?) where (400..<500).contains(status): HTTPResponse.Status(code: status)
        default: .badGateway
        }
    }

    /// A submission that was not stored.
    ///
    /// - Parameter longestPause: seconds after which a client is asked to come back at the latest.
    static func refused(_ refusal: JobQueue.Refusal, model: String, longestPause: Int = .max) -> APIError {
        switch refusal {
        case .unknownModel(let known): .unknownModel(model, known: known)
        case .queueFull(let limit, let retryAfter):
            .queueFull(model, limit: limit, retryAfter: min(retryAfter, longestPause))
        case .clientLimit(let bound, let retryAfter):
            .clientLimit(model, bound, retryAfter: min(retryAfter, longestPause))
        case .keyReused: .keyReused
        }
    }

    /// What a client hears of an error that no route has turned into an ``APIError``; nil when no one foresaw it.
    static func translated(_ error: any Error) -> APIError? {
        switch error {
        case let error as APIError: error
        case StoreError.full: .diskFull
        case StoreError.closed: .stopping
        case StoreError.damaged(let reason): .storeDamaged(reason)
        case let error as StoreError: .storeFailed("\(error)")
        default: nil
        }
    }
}
