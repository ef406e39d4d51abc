import InferqCore
import InferqQueue
import Synchronization

/// The time limits of one call: to the head of the answer, between two of its bytes, and for all of it.
final class CallLimits: Sendable {
    private enum Limit {
        case whole, firstByte, idle
    }

    private struct State {
        var deadlines: [TimerWheel.Deadline] = []
        /// When there was progress last; nil: the head has not come.
        var lastSign: ContinuousClock.Instant?
        /// The answer is not read from at present: that it stands still is no fault of the model server's.
        var isHeld = false
        var exceeded: Limit?
    }

    private let wheel: TimerWheel
    private let exchange: ClientExchange
    /// Bytes of the answer.
    let byteLimit: Int
    private let whole: Duration
    private let firstByte: Duration
    private let idle: Duration
    private let state = Mutex(State())

    init(_ attempt: Attempt, _ settings: ModelSettings, _ exchange: ClientExchange, wheel: TimerWheel) {
        self.wheel = wheel
        self.exchange = exchange
        byteLimit = settings.maxAnswer
        whole = attempt.timeout ?? settings.timeout
        firstByte = settings.firstByteTimeout
        idle = settings.idleTimeout
    }

    /// The call begins.
    func begin() {
        set(.whole, after: whole)
        // What cannot be exceeded first needs no timer.
        if firstByte < whole { set(.firstByte, after: firstByte) }
    }

    /// The call is over.
    func end() {
        let deadlines = state.withLock { state in
            defer { state.deadlines = [] }
            return state.deadlines
        }
        for deadline in deadlines { wheel.cancel(deadline) }
    }

    private func set(_ limit: Limit, after delay: Duration) {
        let deadline = wheel.call(after: delay) { [weak self] in self?.passed(limit) }
        state.withLock { $0.deadlines.append(deadline) }
    }

    /// The head has come, and the body has not come whole.
    func answerBegan() {
        state.withLock { $0.lastSign = .now }
        if idle < whole { set(.idle, after: idle) }
    }

    /// The answer goes on.
    func noteProgress() {
        state.withLock { $0.lastSign = .now }
    }

    /// The answer is not read from, or read from again.
    func setHeld(_ isHeld: Bool) {
        state.withLock { state in
            state.isHeld = isHeld
            if !isHeld { state.lastSign = .now }
        }
    }

    /// Nothing of the answer is wanted any more.
    func giveUp() {
        exchange.abort()
    }

    private func passed(_ limit: Limit) {
        // One timer an answer, set again only when it fires.
        let rest = state.withLock { state -> Duration? in
            guard state.exceeded == nil else { return nil }
            switch (limit, state.lastSign) {
            case (.firstByte, .some): return nil
            case (.idle, let sign?):
                let rest = state.isHeld ? idle : idle - (ContinuousClock.now - sign)
                if rest > .zero { return rest }
            default: break
            }
            state.exceeded = limit
            return .zero
        }
        switch rest {
        case nil: return
        case .some(.zero): exchange.expire()
        case .some(let rest): set(limit, after: rest)
        }
    }

    /// What the model server did not keep to, as a failure.
    var failure: Failure {
        let message =
            switch state.withLock({ $0.exceeded }) {
            case .firstByte:
                "the model server had not begun to answer after \(DurationText.format(firstByte)) (first_byte_timeout)"
            case .idle: "the model server's answer stalled for \(DurationText.format(idle)) (idle_timeout)"
            case .whole, nil: "the model server took longer than \(DurationText.format(whole))"
            }
        return Failure(.timeout, message, isRetryable: true)
    }
}
