import NIOCore

extension Duration {
    /// Whole milliseconds, for NIO.
    var timeAmount: TimeAmount { .milliseconds(milliseconds) }
}
