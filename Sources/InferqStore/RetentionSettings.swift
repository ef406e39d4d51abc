/// Which ended jobs are kept.
package struct RetentionSettings: Sendable, Equatable {
    /// How long ended jobs are kept; zero: forever.
    package var age: Duration = .seconds(7 * 86_400)
    /// Bytes of ended jobs; past it those that ended first go.
    package var maxBytes = 8 << 30

    package init() {}

    package init(age: Duration, maxBytes: Int) {
        self.age = age
        self.maxBytes = maxBytes
    }
}
