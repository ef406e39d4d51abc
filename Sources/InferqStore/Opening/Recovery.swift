package import InferqCore

/// What the start found and did.
package struct Recovery: Sendable, Equatable {
    package var epoch: Int64
    package var interrupted: Int
    package var poisoned: Int
    package var orphans: Int
    package var sqliteVersion: String
    /// Those that were ended as poisoned, for the log.
    package var poisonedJobs: [Job] = []
    /// Attempts that go on at workers on other hosts.
    package var remoteAttempts: [RemoteAttempt] = []
    /// Nil when the store's schema was the current one.
    package var upgrade: StoreUpgrade?
    /// What there is to say of the wall clock.
    package var clock: StoreClock.Finding?
}
