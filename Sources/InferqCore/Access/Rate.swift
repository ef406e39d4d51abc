/// A number per duration, such as `600/1m`.
package struct Rate: Sendable, Equatable {
    /// At least 1.
    package let count: Int
    /// Longer than nothing.
    package let window: Duration

    package init(count: Int, window: Duration) {
        self.count = count
        self.window = window
    }

    /// Nil for a text that is none.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let count = Int(parts[0]), count > 0, parts[0].utf8.first != UInt8(ascii: "+"),
            let window = DurationText.parse(String(parts[1])), window > .zero
        else { return nil }
        self.init(count: count, window: window)
    }

    package var text: String { "\(count)/\(DurationText.format(window))" }
}
