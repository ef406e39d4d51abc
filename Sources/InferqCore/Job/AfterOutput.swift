/// What follows when an attempt fails whose answer a client has seen the beginning of.
package enum AfterOutput: String, Sendable, CaseIterable {
    /// The job ends: two answers are never joined.
    case fail
    /// The client is cut off, and the job is repeated like any other.
    case restart
}
