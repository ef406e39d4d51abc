/// Files and batches of the OpenAI API.
package struct BatchSettings: Sendable, Equatable {
    /// How long a batch has; then its lines expire that have not begun. That of the API.
    package var window: Duration = .seconds(86_400)
    /// Of its lines: behind what people wait for.
    package var priority = -50
    /// Batches that have not ended: each has some jobs in the queue.
    package var maxOpen = 100
    /// Lines of one batch; that of the API.
    package var maxLines = 50_000
    /// Bytes of one file; that of the API.
    package var maxBytes = 200 << 20

    package init() {}
}
