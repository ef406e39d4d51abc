package import InferqCore

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
        if let body {
            command.add("body")
            command.add(body)
        }
    }

    /// Nil for what no gateway of this version has written.
    init?(_ entry: StreamEntry) {
        guard let job = entry.text("job").flatMap({ UUIDv7($0) }),
            let eventID = entry.text("event").flatMap({ UUIDv7($0) }), let model = entry.text("model"),
            let attempt = entry.integer("attempt"), let lease = entry.integer("lease"), let url = entry.text("url"),
            let token = entry.text("token"), let byteCount = entry.integer("bytes")
        else { return nil }
        self.job = job
        self.eventID = eventID
        self.model = model
        self.attempt = attempt
        self.lease = Job.Lease(number: Int64(lease))
        contentType = entry.text("type")
        traceparent = entry.text("traceparent")
        timeout = entry.integer("timeout_ms").map { .milliseconds($0) }
        gatewayURL = url
        self.token = token
        self.byteCount = byteCount
        body = entry.bytes("body")
    }
}

/// One entry of a stream.
struct StreamEntry: Sendable {
    let id: String
    private let fields: [String: [UInt8]]

    /// Nil for what is no entry.
    init?(_ reply: RedisReply) {
        let parts = reply.elements
        guard parts.count == 2, let id = parts[0].text else { return nil }
        self.id = id
        var fields: [String: [UInt8]] = [:]
        let words = parts[1].elements
        for index in stride(from: 0, to: words.count - 1, by: 2) {
            if let name = words[index].text, let value = words[index + 1].bytes { fields[name] = value }
        }
        self.fields = fields
    }

    func bytes(_ name: String) -> [UInt8]? { fields[name] }

    func text(_ name: String) -> String? { fields[name].map { String(decoding: $0, as: UTF8.self) } }

    func integer(_ name: String) -> Int? { text(name).flatMap { Int($0) } }

    /// What `XREAD` and `XREADGROUP` answer: the entries of each stream.
    static func streams(_ reply: RedisReply) -> [(stream: String, entries: [StreamEntry])] {
        reply.elements.compactMap { stream in
            let parts = stream.elements
            guard parts.count == 2, let name = parts[0].text else { return nil }
            return (name, parts[1].elements.compactMap { StreamEntry($0) })
        }
    }
}
