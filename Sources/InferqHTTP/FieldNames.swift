import HTTPTypes

/// Field names that swift-http-types does not have.
extension HTTPField.Name {
    static let prefer = named("Prefer")
    static let preferenceApplied = named("Preference-Applied")
    static let traceparent = named("traceparent")
    static let idempotencyKey = named("Idempotency-Key")
    static let idempotencyReplayed = named("Idempotency-Replayed")
    static let lastEventID = named("Last-Event-ID")
    static let notifyToken = named("X-Notify-Token")
    static let accelBuffering = named("X-Accel-Buffering")
    static let link = named("Link")

    /// For literals only: a name that is no token is a mistake in this file.
    private static func named(_ name: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(name) else { preconditionFailure("\(name) is not a field name") }
        return name
    }
}
