package import InferqCore

/// All that one call of a model server needs, wherever it is made.
package struct Attempt: Sendable {
    package let job: UUIDv7
    package let eventID: UUIDv7
    /// As the model server sees it: the first is 1.
    package let number: Int
    package let body: [UInt8]
    package let contentType: String?
    package let traceparent: String?
    /// Nil: the model's own.
    package let timeout: Duration?
    /// The gateway, as model servers reach it, without a slash at the end.
    package let gatewayURL: String
    package let token: String
    package let stop: StopSignal
    /// Rings once the call has been sent on a connection; nil: nobody waits for that.
    package let sent: Bell?

    package init(
        job: UUIDv7,
        eventID: UUIDv7,
        number: Int,
        body: [UInt8],
        contentType: String?,
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
        self.traceparent = traceparent
        self.timeout = timeout
        self.gatewayURL = gatewayURL
        self.token = token
        self.stop = stop
        self.sent = sent
    }

    package init(_ claim: Claim, body: [UInt8], gatewayURL: String, token: String) {
        self.init(
            job: claim.job.id, eventID: claim.job.eventID, number: claim.job.attempt, body: body,
            contentType: claim.job.input.contentType, traceparent: claim.job.options.traceparent,
            timeout: claim.job.options.timeout, gatewayURL: gatewayURL, token: token, stop: claim.stop,
            sent: claim.sent
        )
    }
}

/// What a model server's answer came to, before anything of it is stored.
package enum Reply: Sendable, Equatable {
    /// The body of a 2xx answer, and what its head says of it.
    package struct Answer: Sendable, Equatable {
        package let bytes: [UInt8]
        package let contentType: String?
        /// Nil: the bytes are as their type says.
        package let contentEncoding: String?

        package init(_ bytes: [UInt8], contentType: String?, contentEncoding: String? = nil) {
            self.bytes = bytes
            self.contentType = contentType
            self.contentEncoding = contentEncoding
        }
    }

    case answered(Answer)
    /// - Parameter retryAfter: the pause that the model server asked for.
    case failed(Failure, retryAfter: Duration?)
    /// The model server did not take the call.
    case refused(Refusal)
}
