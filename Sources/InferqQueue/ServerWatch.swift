package import InferqCore

/// Who must know whether model servers take calls: a gateway for its lines, or a worker on another host.
package protocol ServerWatch: Sendable {
    /// Rings when the moment of the next look may have changed.
    var looks: Bell { get }

    /// Lets go what was waiting for this moment.
    ///
    /// - Returns: the models whose servers must be asked now, and when to look again; nil: not before ``looks`` rings.
    func look() -> (asking: [String], next: Availability.Instant?)

    /// What a server has answered that was asked.
    func note(_ health: Availability.Health, of model: String)

    func model(_ name: String) -> ModelSettings?
}

extension JobQueue: ServerWatch {
    package var looks: Bell { scheduler.looks }

    package func look() -> (asking: [String], next: Availability.Instant?) { scheduler.look() }

    package func note(_ health: Availability.Health, of model: String) { scheduler.note(health, of: model) }
}
