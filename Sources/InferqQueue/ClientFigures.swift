/// What one client has in the queue.
package struct ClientFigures: Sendable, Equatable {
    package var pending = 0
    package var running = 0

    package init() {}
}
