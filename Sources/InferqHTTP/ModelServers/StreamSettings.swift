/// What the configuration says about answers that come piece by piece; its reader has checked it. All of it may change while
/// the gateway runs.
package struct StreamSettings: Sendable, Equatable {
    /// The least time between two commits of one answer: what comes meanwhile is committed together. A person who reads
    /// along does not see it, and flash is written forty times a second at most. Zero: each read is a commit.
    package var flush: Duration = .milliseconds(25)

    package init() {}
}
