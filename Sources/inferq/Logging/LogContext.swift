import Logging

/// What all of our log handlers carry, with the value semantics that swift-log asks for.
struct LogContext: Sendable {
    let threshold: LogThreshold
    var metadata: Logger.Metadata = [:]
    var provider: Logger.MetadataProvider?
    /// Set on one logger alone, it wins over the shared threshold.
    private var ownLevel: Logger.Level?

    init(threshold: LogThreshold, provider: Logger.MetadataProvider? = nil) {
        self.threshold = threshold
        self.provider = provider
    }

    var level: Logger.Level {
        get { ownLevel ?? threshold.level }
        set { ownLevel = newValue }
    }

    /// The metadata of one event, sorted by key: the statement's own wins over the provider's, that over the logger's.
    func fields(of event: LogEvent) -> [(key: String, value: Logger.MetadataValue)] {
        var merged = metadata
        if let provider { merged.merge(provider.get()) { $1 } }
        if let own = event.metadata { merged.merge(own) { $1 } }
        if let error = event.error {
            merged["error"] = merged["error"] ?? "\(error)"
        }
        return merged.sorted { $0.key < $1.key }
    }
}

/// A log handler that is a format around a ``LogContext``.
protocol ContextLogHandler: LogHandler {
    var context: LogContext { get set }
}

extension ContextLogHandler {
    var metadata: Logger.Metadata {
        get { context.metadata }
        set { context.metadata = newValue }
    }

    var metadataProvider: Logger.MetadataProvider? {
        get { context.provider }
        set { context.provider = newValue }
    }

    var logLevel: Logger.Level {
        get { context.level }
        set { context.level = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { context.metadata[key] }
        set { context.metadata[key] = newValue }
    }
}
