/// The idempotency key was used before with another request.
package struct KeyReused: Error, Sendable, Equatable {
    package init() {}
}
