/// Files and batches of the OpenAI API.
package struct BatchSettings: Sendable, Equatable {
    /// Bytes of one file; that of the API.
    package var maxBytes = 200 << 20

    package init() {}
}
