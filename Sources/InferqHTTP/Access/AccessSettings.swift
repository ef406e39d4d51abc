package import InferqCore

/// Who may do what.
package struct AccessSettings: Sendable, Equatable {
    package enum Mode: String, Sendable, CaseIterable {
        /// Everyone who reaches the gateway may do everything.
        case open
        /// Anyone who comes over the network shows a key.
        case keys
    }

    package var mode = Mode.open
    /// Whether mode `open` may listen where other hosts reach it.
    package var openNetwork = false
    /// The folder whose `*.toml` hold the keys.
    package var keys = "/etc/inferq/keys.d"
    /// Wrong keys that an address may show before it is answered with 429: enough for a person with an old key in some
    /// programs, and far too few for a guess.
    package var failures = Rate(count: 30, window: .seconds(60))
    /// How long the page stays signed in: a working day, so that one asks for the key each morning.
    package var session: Duration = .seconds(12 * 3600)

    package init() {}
}
