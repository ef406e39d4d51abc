/// What a client sees of a job's state.
package enum Status: Int, Sendable, CaseIterable {
    case pending, running, completed, failed, cancelled

    package var isFinal: Bool {
        switch self {
        case .pending, .running: false
        case .completed, .failed, .cancelled: true
        }
    }
}
