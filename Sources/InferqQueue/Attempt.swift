package import InferqCore
package import InferqStore

/// All that one call of a model server needs, wherever it is made.
package struct Attempt: Sendable {
    package let job: UUIDv7
    package let eventID: UUIDv7
    /// As the model server sees it: the first is 1.
    package let number: Int
    package let body: Body
    package let contentType: String?
    /// How the client called; nil for a native submit.
    package let call: Call?
    package let traceparent: String?
    /// Nil: the model's own.
    package let timeout: Duration?
    /// The gateway, as model servers reach it, without a slash at the end.
    package let gatewayURL: String
    package let token: String
    package let stop: StopSignal
    /// Rings once the call has been sent on a connection; nil: no one waits for that.
    package let sent: Bell?
    /// The client's own `Authorization`, to be passed on.
    package var authorization: String?
    /// Takes an answer that comes piece by piece; nil: answers are taken whole.
    package var pieces: PieceSink?

    /// What the model server is sent.
    package enum Body: Sendable {
        case bytes([UInt8])
        /// Read piece by piece as it is sent.
        case file(StoredFile)

        package var byteCount: Int {
            switch self {
            case .bytes(let bytes): bytes.count
            case .file(let file): file.byteCount
            }
        }
    }

    package init(
        job: UUIDv7,
        eventID: UUIDv7,
        number: Int,
        body: Body,
        contentType: String?,
        call: Call?,
        traceparent: String?,
        timeout: Duration?,
        gatewayURL: String,
        token: String,
        stop: StopSignal,
        sent: Bell? = nil
    ) {
        self.job = job
        self.eventID = eventID
        self.number = number
        self.body = body
        self.contentType = contentType
        self.call = call
        self.traceparent = traceparent
        self.timeout = timeout
        self.gatewayURL = gatewayURL
        self.token = token
        self.stop = stop
        self.sent = sent
    }

    package init(_ claim: Claim, body: Body, gatewayURL: String, token: String) {
        self.init(
            job: claim.job.id, eventID: claim.job.eventID, number: claim.job.attempt, body: body,
            contentType: claim.job.input.contentType, call: claim.job.options.call,
            traceparent: claim.job.options.traceparent, timeout: claim.job.options.timeout, gatewayURL: gatewayURL,
            token: token, stop: claim.stop, sent: claim.sent
        )
        authorization = claim.authorization
    }
}

/// What a model server's answer came to, before anything of it is stored.
package enum Reply: Sendable, Equatable {
    /// The body of an answer, and what its head says of it.
    package struct Answer: Sendable, Equatable {
        package let bytes: [UInt8]
        package let contentType: String?
        /// Nil: the bytes are as their type says.
        package let contentEncoding: String?
        /// Of the answer to a call.
        package let head: AnswerHead?
        /// Of an answer that came piece by piece; ``bytes`` are only there then if they are needed.
        package var stream: Stream?

        /// What was stored of an answer as it came, and what is left of it.
        package struct Stream: Sendable, Equatable {
            /// Of the whole answer.
            package let byteCount: Int
            /// SHA-256.
            package let digest: [UInt8]
            /// Not stored yet; nil: everything is.
            package let rest: Piece?

            package init(byteCount: Int, digest: [UInt8], rest: Piece?) {
                self.byteCount = byteCount
                self.digest = digest
                self.rest = rest
            }
        }

        package init(
            _ bytes: [UInt8], contentType: String?, contentEncoding: String? = nil, head: AnswerHead? = nil
        ) {
            self.bytes = bytes
            self.contentType = contentType
            self.contentEncoding = contentEncoding
            self.head = head
        }

        package init(_ bytes: [UInt8], _ head: StreamHead, stream: Stream? = nil) {
            self.init(bytes, contentType: head.contentType, contentEncoding: head.contentEncoding, head: head.answer)
            self.stream = stream
        }

        /// What the head said.
        package var streamHead: StreamHead {
            StreamHead(contentType: contentType, contentEncoding: contentEncoding, answer: head)
        }
    }

    case answered(Answer)
    /// - Parameters:
    ///   - retryAfter: the pause that the model server asked for.
    ///   - answer: as in ``Outcome/failed(_:retryAfter:answer:)``.
    case failed(Failure, retryAfter: Duration?, answer: Answer? = nil)
    /// The model server did not take the call.
    case refused(Refusal)
}
