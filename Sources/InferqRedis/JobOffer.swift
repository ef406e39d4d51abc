package import InferqCore
package import InferqQueue

/// What a stream of jobs carries: all that a worker on another host needs to make one attempt.
package struct JobOffer: Sendable, Equatable {
    package var job: UUIDv7
    package var eventID: UUIDv7
    package var model: String
    /// The number of the attempt, if it is taken.
    package var attempt: Int
    /// The lease that the taker will have.
    package var lease: Job.Lease
    package var contentType: String?
    package var traceparent: String?
    /// How the client called; nil for a native submit.
    package var call: Call?
    /// The job's own; nil: the worker's setting for the model.
    package var timeout: Duration?
    /// How the gateway is reached over HTTP, without a slash at the end.
    package var gatewayURL: String
    /// Lets its bearer tell of progress, fetch the body and hand in the answer, for this attempt.
    package var token: String
    package var byteCount: Int
    /// Nil when it is too large to travel along: then it is fetched from the gateway.
    package var body: [UInt8]?

    package init(
        _ job: Job, gatewayURL: String, token: String
    ) {
        self.job = job.id
        eventID = job.eventID
        model = job.model
        attempt = job.attempt + 1
        lease = job.nextLease
        contentType = job.input.contentType
        traceparent = job.options.traceparent
        timeout = job.options.timeout
        call = job.options.call
        self.gatewayURL = gatewayURL
        self.token = token
        byteCount = job.input.byteCount
        if case .inline(let bytes) = job.input.content { body = bytes }
    }

    package var offer: Offer { Offer(model: model, job: job.key) }
}

// MARK: On the stream

extension JobOffer {
    /// As names and values after `XADD stream NOMKSTREAM *`.
    func append(to command: inout RedisCommand) {
        func add(_ name: String, _ value: String?) {
            guard let value else { return }
            command.add(name)
            command.add(value)
        }
        add("job", job.description)
        add("event", eventID.description)
        add("model", model)
        add("attempt", String(attempt))
        add("lease", String(lease.number))
        add("type", contentType)
        add("traceparent", traceparent)
        add("timeout_ms", timeout.map { String($0.milliseconds) })
        add("url", gatewayURL)
        add("token", token)
        add("bytes", String(byteCount))
        if let call {
            command.add("call")
            command.add(call.json)
        }
        if let body {
            command.add("body")
            command.add(body)
        }
    }

    /// Nil for what no gateway of this version has written.
    init?(_ entry: StreamEntry) {
        guard let job = entry.text("job").flatMap({ UUIDv7($0) }),
            let eventID = entry.text("event").flatMap({ UUIDv7($0) }), let model = entry.text("model", upTo: 128),
            let attempt = entry.integer("attempt", in: 1...Int(Int32.max)),
            let lease = entry.integer("lease", in: Job.Lease.promised), let url = entry.text("url", upTo: 2048),
            url.isEmpty || PlainText.isURL(url),
            let token = entry.text("token"), PlainText.isASCII(token, upTo: PlainText.limit),
            let byteCount = entry.integer("bytes", in: 0...Self.largestBody)
        else { return nil }
        if entry.has("timeout_ms") {
            guard let timeout = entry.integer("timeout_ms", in: 0...Int(DurationText.longest.milliseconds)) else {
                return nil
            }
            self.timeout = .milliseconds(timeout)
        }
        if let body = entry.bytes("body") {
            guard body.count == byteCount else { return nil }
            self.body = body
        }
        if let bytes = entry.bytes("call") {
            guard let call = Call(json: bytes), call.isWellFormed else { return nil }
            self.call = call
        }
        self.job = job
        self.eventID = eventID
        self.model = model
        self.attempt = attempt
        self.lease = Job.Lease(number: Int64(lease))
        contentType = entry.text("type", upTo: 8192)
        traceparent = entry.text("traceparent").flatMap { PlainText.isASCII($0, upTo: PlainText.limit) ? $0 : nil }
        gatewayURL = url
        self.token = token
        self.byteCount = byteCount
    }

    /// The most that `max_body` can be.
    private static let largestBody = 16 << 30
}
