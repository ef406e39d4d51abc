import InferqCore
package import NIOCore
import Synchronization

/// One client's connection, as routes see it: who hangs up, and how to reach the channel.
package final class Connection: Sendable {
    let channel: any Channel
    /// Over a Unix socket: what only the host's own users may do is allowed.
    let isLocal: Bool

    private struct State {
        var isGone = false
        var bell: Bell?
    }

    private let state = Mutex(State())

    package init(channel: any Channel, isLocal: Bool) {
        self.channel = channel
        self.isLocal = isLocal
    }

    /// Rings `bell` with ``Bell/Rings/hangUp`` when the client closes its side, at once if it has. One route at a time.
    func onHangUp(ring bell: Bell?) {
        let isGone = state.withLock { state in
            state.bell = bell
            return state.isGone
        }
        if isGone { bell?.ring(.hangUp) }
    }

    /// The client has closed its side, or the connection is dead.
    func hungUp() {
        let bell = state.withLock { state in
            state.isGone = true
            return state.bell
        }
        bell?.ring(.hangUp)
    }
}
