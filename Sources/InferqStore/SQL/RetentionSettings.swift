/// What ended jobs may take, and for how long.
package struct RetentionSettings: Sendable, Equatable {
    /// How long ended jobs are kept; zero: for ever.
    package var age: Duration
    /// Bytes of ended jobs.
    package var maxBytes: Int
    /// Free bytes of the disk below which submits are refused.
    package var minFree: Int

    package init(age: Duration, maxBytes: Int, minFree: Int) {
        self.age = age
        self.maxBytes = maxBytes
        self.minFree = minFree
    }
}
