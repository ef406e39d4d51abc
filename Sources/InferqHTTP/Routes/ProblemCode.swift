import HTTPTypes

/// What can be wrong with a request; stable and machine-readable, as the member `code` of a problem document.
enum ProblemCode: String, Sendable, CaseIterable {
    case malformedJSON = "malformed_json"
    case invalidRequest = "invalid_request"
    case invalidID = "invalid_id"
    case malformedHTTP = "malformed_http"
    case keyMissing = "key_missing"
    case keyInvalid = "key_invalid"
    case keyExpired = "key_expired"
    case forbiddenOrigin = "forbidden_origin"
    case scopeMissing = "scope_missing"
    case modelNotAllowed = "model_not_allowed"
    case priorityNotAllowed = "priority_not_allowed"
    case clientLimit = "client_limit"
    case rateLimited = "rate_limited"
    case tooManyFailures = "too_many_failures"
    case wrongToken = "wrong_token"
    case attemptOver = "attempt_over"
    case detailTooLarge = "detail_too_large"
    case tooManyEvents = "too_many_events"
    case noSuchPath = "no_such_path"
    case gone
    case wrongState = "wrong_state"
    case noSuchModel = "no_such_model"
    case modelNotFound = "model_not_found"
    case ambiguousModel = "ambiguous_model"
    case noSuchJob = "no_such_job"
    case noSuchResponse = "no_such_response"
    case noResponses = "no_responses"
    case noSuchFile = "no_such_file"
    case noSuchBatch = "no_such_batch"
    case tooManyBatches = "too_many_batches"
    case otherGateway = "other_gateway"
    case methodNotAllowed = "method_not_allowed"
    case notAcceptable = "not_acceptable"
    case notJSON = "not_json"
    case contentEncoding = "content_encoding"
    case noOutput = "no_output"
    case bodyTooLarge = "body_too_large"
    case headTimeout = "head_timeout"
    case bodyTimeout = "body_timeout"
    case targetTooLong = "target_too_long"
    case expectation
    case transferCoding = "transfer_coding"
    case headTooLarge = "head_too_large"
    case misdirected
    case unknownModel = "unknown_model"
    case keyReused = "key_reused"
    case queueFull = "queue_full"
    case bodiesInFlight = "bodies_in_flight"
    case connections
    case stopping
    case storeUnavailable = "store_unavailable"
    case degraded
    case diskFull = "disk_full"
    case notReady = "not_ready"
    case unixSocketOnly = "unix_socket_only"
    case copyInProgress = "copy_in_progress"
    case noRoomForCopy = "no_room_for_copy"
    case storeDamaged = "store_damaged"
    case unforeseen = "internal"
    case closedCall = "closed_call"
    case upgradeUnsupported = "upgrade_unsupported"
    case connectFailed = "connect_failed"
    case badResponse = "bad_response"
    case httpError = "http_error"
    case streamError = "stream_error"
    case answerTimeout = "timeout"
    case answerTooLarge = "too_large"
    case cancelled
    case jobFailed = "job_failed"

    /// Of the answer. That of `jobFailed` follows from the job's error instead, where that says more.
    var status: HTTPResponse.Status {
        switch self {
        case .malformedJSON, .invalidRequest, .invalidID, .malformedHTTP: .badRequest
        case .keyMissing, .keyInvalid, .keyExpired: .unauthorized
        case .forbiddenOrigin, .scopeMissing, .modelNotAllowed, .priorityNotAllowed, .wrongToken, .unixSocketOnly,
            .closedCall:
            .forbidden
        case .attemptOver, .wrongState, .noOutput, .cancelled: .conflict
        case .detailTooLarge, .bodyTooLarge: .contentTooLarge
        case .tooManyEvents, .queueFull, .clientLimit, .rateLimited, .tooManyFailures, .tooManyBatches:
            .tooManyRequests
        case .noSuchPath, .noSuchModel, .modelNotFound, .noSuchJob, .noSuchResponse, .noSuchFile, .noSuchBatch:
            .notFound
        case .gone: .gone
        case .otherGateway, .misdirected: .misdirectedRequest
        case .methodNotAllowed: .methodNotAllowed
        case .notAcceptable: .notAcceptable
        case .notJSON, .contentEncoding: .unsupportedMediaType
        case .headTimeout, .bodyTimeout: .requestTimeout
        case .targetTooLong: .uriTooLong
        case .expectation: .expectationFailed
        case .transferCoding, .upgradeUnsupported, .noResponses: .notImplemented
        case .headTooLarge: .requestHeaderFieldsTooLarge
        case .unknownModel, .ambiguousModel, .keyReused: .unprocessableContent
        case .bodiesInFlight, .connections, .stopping, .storeUnavailable, .degraded, .notReady, .copyInProgress:
            .serviceUnavailable
        case .diskFull, .noRoomForCopy: HTTPResponse.Status(code: 507, reasonPhrase: "Insufficient Storage")
        case .storeDamaged, .unforeseen: .internalServerError
        case .connectFailed, .badResponse, .httpError, .streamError, .answerTooLarge, .jobFailed: .badGateway
        case .answerTimeout: .gatewayTimeout
        }
    }

    var title: String {
        switch self {
        case .malformedJSON: "Malformed JSON"
        case .invalidRequest: "Invalid request"
        case .invalidID: "Invalid identifier"
        case .malformedHTTP: "Malformed HTTP"
        case .keyMissing: "Key missing"
        case .keyInvalid: "Key invalid"
        case .keyExpired: "Key expired"
        case .forbiddenOrigin: "Forbidden origin"
        case .scopeMissing: "Scope missing"
        case .modelNotAllowed: "Model not allowed"
        case .priorityNotAllowed: "Priority not allowed"
        case .clientLimit: "Client limit reached"
        case .rateLimited: "Too many requests"
        case .tooManyFailures: "Too many wrong keys"
        case .wrongToken: "Wrong token"
        case .attemptOver: "Attempt over"
        case .detailTooLarge: "Detail too large"
        case .tooManyEvents: "Too many events"
        case .noSuchPath: "No such path"
        case .gone: "Gone"
        case .wrongState: "Wrong state"
        case .noSuchModel: "No such model"
        case .modelNotFound: "Model not found"
        case .ambiguousModel: "Ambiguous model"
        case .noSuchJob: "No such job"
        case .noSuchResponse: "No such response"
        case .noSuchFile: "No such file"
        case .noSuchBatch: "No such batch"
        case .tooManyBatches: "Too many batches"
        case .noResponses: "No Responses API at the model server"
        case .otherGateway: "Job of another gateway"
        case .methodNotAllowed: "Method not allowed"
        case .notAcceptable: "Not acceptable"
        case .notJSON: "Unsupported media type"
        case .contentEncoding: "Unsupported content encoding"
        case .noOutput: "No output"
        case .bodyTooLarge: "Body too large"
        case .headTimeout, .bodyTimeout: "Request timeout"
        case .targetTooLong: "Target too long"
        case .expectation: "Expectation failed"
        case .transferCoding: "Unknown transfer coding"
        case .headTooLarge: "Head too large"
        case .misdirected: "Misdirected request"
        case .unknownModel: "Unknown model"
        case .keyReused: "Idempotency key reused"
        case .queueFull: "Queue full"
        case .bodiesInFlight: "Too many bodies in flight"
        case .connections: "Too many connections"
        case .stopping: "Stopping"
        case .storeUnavailable: "Store unavailable"
        case .degraded: "Degraded"
        case .diskFull: "Disk full"
        case .notReady: "Not ready"
        case .unixSocketOnly: "Unix socket only"
        case .copyInProgress: "Copy in progress"
        case .noRoomForCopy: "No room for a copy"
        case .storeDamaged: "Store damaged"
        case .unforeseen: "Internal error"
        case .closedCall: "Closed call"
        case .upgradeUnsupported: "Upgrade not supported"
        case .connectFailed: "Model server unreachable"
        case .badResponse: "Bad answer from the model server"
        case .httpError: "Redirect from the model server"
        case .streamError: "Error in the model server's stream"
        case .answerTimeout: "Answer timeout"
        case .answerTooLarge: "Answer too large"
        case .cancelled: "Job cancelled"
        case .jobFailed: "Job failed"
        }
    }
}
