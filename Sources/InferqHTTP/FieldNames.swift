import HTTPTypes

/// Field names that swift-http-types does not have.
extension HTTPField.Name {
    /// A repeat that was given the answer of the call that it repeats.
    /// Which attempt the bytes of an answer are of.
    static let attempt = named("X-Attempt")
    // Of the Durable Streams protocol: where to go on reading, and whether that is the end.
    static let streamNextOffset = named("Stream-Next-Offset")
    static let streamClosed = named("Stream-Closed")
    static let attached = named("X-Inferq-Attached")
    static let inferenceID = named("X-Inference-Id")
    static let eventID = named("X-Event-Id")
    static let requestID = named("X-Request-Id")
    /// Its sender opts in to have the call outlive the connection.
    static let conversationID = named("X-Conversation-Id")
    /// What the SDKs of OpenAI and Anthropic say of a request that they send again: how often they have sent it before.
    static let stainlessRetryCount = named("x-stainless-retry-count")
    static let xAPIKey = named("X-API-Key")
    static let secFetchSite = named("Sec-Fetch-Site")
    // Of draft-ietf-httpapi-ratelimit-headers-11.
    static let rateLimit = named("RateLimit")
    static let rateLimitPolicy = named("RateLimit-Policy")
    static let prefer = named("Prefer")
    static let preferenceApplied = named("Preference-Applied")
    /// Tells the clients of OpenAI, and those that are generated as they are, whether to send a request again.
    static let xShouldRetry = named("x-should-retry")
    static let traceparent = named("traceparent")
    static let idempotencyKey = named("Idempotency-Key")
    static let idempotencyReplayed = named("Idempotency-Replayed")
    static let lastEventID = named("Last-Event-ID")
    /// Status and header fields of the answer to a call, as JSON, from a worker on another host.
    static let answerHead = named("X-Answer-Head")
    static let notifyToken = named("X-Notify-Token")
    static let accelBuffering = named("X-Accel-Buffering")
    static let link = named("Link")
    // Private Network Access: Chromium asks so when a page of the internet calls an address of a local network.
    static let requestPrivateNetwork = named("Access-Control-Request-Private-Network")
    static let allowPrivateNetwork = named("Access-Control-Allow-Private-Network")
    static let referrerPolicy = named("Referrer-Policy")
    /// Blobs that rows name and that a backup does not hold, or not as long as they should be.
    static let missingBlobs = named("Inferq-Missing-Blobs")

    /// For literals only: a name that is not a token is a mistake in this file.
    private static func named(_ name: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(name) else { preconditionFailure("\(name) is not a field name") }
        return name
    }
}
