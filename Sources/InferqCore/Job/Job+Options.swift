extension Job {
    /// What the client asked for and the job keeps as it came; never changes.
    package struct Options: Sendable, Equatable {
        /// Higher first; within ``Job/priorities``.
        package var priority = 0
        /// Nil: the model's own.
        package var timeout: Duration?
        /// A JSON object as it came.
        package var metadata: [UInt8] = []
        package var retryOf: UUIDv7?
        /// The W3C trace context that the attempt is called with.
        package var traceparent: String?
        /// How the client called the model server; nil for a native submit.
        package var call: Call?
        /// Of a line of a batch; nil for all other jobs.
        package var batch: BatchPlace?
        /// Whose job it is; nil for one of before there were clients.
        package var client: String?

        package init() {}
    }

    package static let priorities = -100...100
    /// How many attempts may fail at most.
    package static let attemptLimits = 1...25

    /// When a job expires whose first attempt has not begun.
    package struct Expiry: Sendable, Equatable {
        /// As it is shown.
        package var at: Timestamp
        /// What counts.
        package var elapsed: Elapsed

        package init(in duration: Duration, from now: Moment) {
            self.init(at: now.wall + duration, elapsed: now.elapsed + duration)
        }

        package init(at: Timestamp, elapsed: Elapsed) {
            self.at = at
            self.elapsed = elapsed
        }
    }

    /// When an attempt may begin.
    package enum Start: Sendable, Equatable {
        case at(Timestamp)
        case after(Duration)
    }
}
