/// What the configuration says about one model; the configuration's reader has checked it.
package struct ModelSettings: Sendable, Equatable {
    package var name: String
    /// `http://host:port/path`, `https://host:port/path` or `http+unix://%2Frun%2Fx.sock/path`; empty: only workers on
    /// other hosts serve the model.
    package var url: String
    /// Of an `https` URL: a PEM file of those who may have signed the model server's certificate; empty: those that the
    /// host trusts.
    package var ca = ""
    /// The language that the model server speaks. With one, ``url`` is the server's root.
    package var dialect = Dialect.none
    /// Other names by which clients may call the model: literal ones, and patterns with `*`.
    package var names: [String] = []
    /// Paths at the gateway's root that are calls of this model, beside those of its dialect; `*` at the end stands for
    /// all that follows.
    package var paths: [String] = []
    /// Methods and paths that are handed through at once, as `DELETE /v1/thing/*`.
    package var direct: [String] = []
    /// Methods and paths other than POST that are jobs, as `PUT /v1/other`.
    package var queued: [String] = []
    /// How long a plain call goes on when its client is gone and no one listens; nil: forever.
    package var linger: Duration? = .seconds(10)
    /// Whether the client's `Authorization` is passed on. It is kept in memory alone.
    package var forwardsAuthorization = false
    /// When jobs expire that name no time of their own; nil: never.
    package var expiresIn: Duration?
    /// Attempts that run at a time in one process, 1 to 4096.
    package var concurrency = 1
    /// Jobs that may be pending; past it a submit is refused.
    package var queueLimit = 100_000
    /// How long one attempt may take. With a dialect the configuration's default is ``longTimeout``.
    package var timeout: Duration = .seconds(300)
    /// A language model may write for long.
    package static let longTimeout = Duration.seconds(3600)
    /// How long the head of an answer may take.
    package var firstByteTimeout: Duration = .seconds(600)
    /// How long an answer that has begun may stand still. Comment lines of an event stream, which servers send to keep a
    /// connection open, do not count.
    package var idleTimeout: Duration = .seconds(120)
    /// What becomes of a plain call whose attempt fails when its client has had bytes of the answer.
    package var afterOutput = AfterOutput.fail
    /// How long a model server may say that it is loading.
    package var readyTimeout: Duration = .seconds(600)
    /// Failures after which a job ends in an error, 1 to 25.
    package var maxAttempts = 3
    /// Bytes of the largest answer that is taken.
    package var maxAnswer = 64 << 20
    package var backoffBase: Duration = .seconds(1)
    package var backoffCap: Duration = .seconds(120)
    /// A JSON Pointer (RFC 6901) into the answer: empty, or beginning with a slash.
    package var layers = "/predicted_layers"
    /// Added to every call, sorted by name. The values may be secrets: never log them.
    package var headers: [HeaderSetting] = []
    /// A path to GET; empty: the model server is judged by the calls alone.
    package var health = ""

    package init(name: String, url: String) {
        self.name = name
        self.url = url
    }

    /// Attempts that may run at a time in this process.
    package var slots: Int { url.isEmpty ? 0 : concurrency }

    /// What a failed attempt of a job leads to.
    package func retryPolicy(of job: Job) -> RetryPolicy {
        var policy = RetryPolicy(base: backoffBase, cap: backoffCap, maxAttempts: job.maxAttempts)
        policy.afterOutput = afterOutput
        return policy
    }
}

/// One header that the configuration adds to the calls of a model server.
package struct HeaderSetting: Sendable, Equatable {
    package var name: String
    package var value: String

    package init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}
