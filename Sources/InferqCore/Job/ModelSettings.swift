/// What the configuration says about one model; the configuration's reader has checked it.
package struct ModelSettings: Sendable, Equatable {
    package var name: String
    /// `http://host:port/path`, `https://host:port/path` or `http+unix://%2Frun%2Fx.sock/path`; empty: only workers on
    /// other hosts serve the model.
    package var url: String
    /// Attempts that run at a time in one process, 1 to 4096.
    package var concurrency = 1
    /// Jobs that may be pending; past it a submit is refused.
    package var queueLimit = 100_000
    /// How long one attempt may take.
    package var timeout: Duration = .seconds(300)
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
        RetryPolicy(base: backoffBase, cap: backoffCap, maxAttempts: job.maxAttempts)
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
