import InferqCore

/// An option that a client may give for a job: all that is to be said of it, wherever it is written.
///
/// `docs/openapi.yaml` says the same to clients; a test holds it against these.
struct JobOption: Sendable {
    let name: String
    /// Nil: it is not a number.
    let range: ClosedRange<Int>?
    /// Reads and checks a value, and keeps it.
    ///
    /// - Throws: 400 that names the place.
    let take: @Sendable (WrittenOption, inout JobOptions) throws(APIError) -> Void

    /// Query items are read in this order.
    static let all = [
        JobOption("priority", .integer(in: Job.priorities), \.options.kept.priority),
        JobOption("max_attempts", .integer(in: Job.attemptLimits), \.options.maxAttempts),
        JobOption("run_at", OptionKind.time.map { Job.Start.at($0) }, \.options.start, notBeside: "delay"),
        JobOption("delay", OptionKind.duration.map { Job.Start.after($0) }, \.options.start, notBeside: "run_at"),
        JobOption("expires_in", .duration.such("it must be more than zero") { $0 > .zero }, \.options.expiresIn),
        JobOption(
            "timeout", .duration.such("it must be at least a millisecond") { $0 >= .milliseconds(1) },
            \.options.kept.timeout
        ),
        JobOption("key", .key, \.key),
        JobOption("metadata", .object(upTo: 4096), \.options.kept.metadata),
    ]

    static func named(_ name: String) -> JobOption? {
        all.first { $0.name == name }
    }

    static func unknown(_ place: String) -> APIError {
        .invalid(place, "it is not known; the known ones are \(all.map(\.name).sorted().joined(separator: ", "))")
    }

    static func unknownHeader(_ place: String) -> APIError {
        let names = all.map(\.name).filter { $0 != "key" }.sorted()
            .map { "X-Inferq-" + $0.split(separator: "_").map(\.capitalized).joined(separator: "-") }
        return .invalid(place, "it is not known; the known ones are \(names.joined(separator: ", "))")
    }

    private init<Value>(
        _ name: String,
        _ kind: OptionKind<Value>,
        _ field: any WritableKeyPath<JobOptions, Value> & Sendable
    ) {
        self.name = name
        range = kind.range
        take = { written, options throws(APIError) in options[keyPath: field] = try kind.read(written) }
    }

    /// - Parameter rival: an option that writes to the same field, so that only one of the two may be given.
    private init<Value>(
        _ name: String,
        _ kind: OptionKind<Value>,
        _ field: any WritableKeyPath<JobOptions, Value?> & Sendable,
        notBeside rival: String? = nil
    ) {
        self.name = name
        range = kind.range
        take = { written, options throws(APIError) in
            let value = try kind.read(written)
            if let rival, options[keyPath: field] != nil {
                throw written.invalid("it cannot be combined with \(rival)")
            }
            options[keyPath: field] = value
        }
    }
}
