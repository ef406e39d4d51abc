package import InferqCore

/// Whether the model server of a line takes calls, as far as one process knows.
///
/// A value without clock and I/O: every event returns what follows from it. While the server is away (`down` or
/// `loading`) nothing is taken from the line but one probe at a time: see ``Probe``.
package struct Availability: Sendable, Equatable {
    package typealias Instant = ContinuousClock.Instant

    /// What clients see.
    package enum State: String, Sendable, CaseIterable {
        case up, loading, down
    }

    /// What finds out whether the server is back.
    package enum Probe: Sendable, Equatable {
        /// The best due job itself.
        case job
        /// A GET of this path, which decides: also while all is well.
        case path(String)
        /// A connection, then a job: for who has no line of its own.
        case connection
    }

    /// How many jobs may be taken from the line.
    package enum Gate: Sendable, Equatable {
        case open, probe, closed
    }

    /// What a taken job is.
    package enum Passage: Sendable, Equatable {
        /// A call like any other.
        case free
        /// The one job whose call shows whether the server is back.
        case probe
        /// Taken when nothing should be: it goes back without having been claimed.
        case held
    }

    /// What the health path has answered.
    package enum Health: Sendable, Equatable {
        case good
        case loading(String)
        case bad(String)
    }

    /// A change that is worth a line in the log.
    package enum Transition: Sendable, Equatable {
        case wentAway(State, reason: String)
        case cameBack(after: Duration)
    }

    /// The newest trouble with the server itself.
    package struct Trouble: Sendable, Equatable {
        package var text: String
        package var at: Timestamp

        package init(text: String, at: Timestamp) {
            self.text = text
            self.at = at
        }
    }

    /// What operators see.
    package struct Summary: Sendable, Equatable {
        package var state: State
        /// Since when it is so.
        package var since: Timestamp
        /// Nil once calls are answered again.
        package var trouble: Trouble?

        package init(state: State, since: Timestamp, trouble: Trouble?) {
            self.state = state
            self.since = since
            self.trouble = trouble
        }
    }

    private struct Outage: Equatable {
        var begin: Instant
        /// The last try, and the pause that the server asked for then.
        var lastTry: Instant
        var retryAfter: Duration = .zero
        var isLoading: Bool
        /// Since when answers of 503 alone have kept the line.
        var loadingSince: Instant?
        /// A call was refused last: after a good word of the health path one job probes, before all others follow.
        var awaitsCall = false
    }

    /// Since when the server is as it is.
    package private(set) var since: Timestamp
    /// Nil once calls are answered again.
    package private(set) var trouble: Trouble?

    private var outage: Outage?
    private var probe = Probe.job
    /// Nil until it has answered after the last trouble.
    private var isHealthGood: Bool?
    private var lastAsked: Instant?
    private var isBeingAsked = false
    private var readyTimeout = Duration.seconds(600)
    /// Refusals, one after another: the pause before the next probe grows with them.
    private var refusals = 0
    private var prober: JobKey?
    /// Calls are numbered, so that it can be told which began after which refusal.
    private var callCount: UInt64 = 0
    private var calls: [JobKey: UInt64] = [:]
    /// Jobs that were answered 503, with the number of the newest call at that time.
    private var refused: [JobKey: UInt64] = [:]
    /// Jobs that were refused, and another's call that began later was answered: the next 503 is of their own making.
    private var blamed: Set<JobKey> = []
    private var resets: [JobKey: Int] = [:]

    /// A model server that is loading says so at once; one that says nothing for this long works.
    package static let timeToRefuse = Duration.seconds(1)
    /// The pause after the first refusal; it doubles up to ``longestPause``.
    static let firstPause = Duration.milliseconds(250)
    /// Jobs wait: the first of them is called within two seconds of the server's return.
    static let longestPause = Duration.milliseconds(1500)
    /// Nothing waits: the health path is asked this seldom, and as often while all is well.
    static let healthInterval = Duration.seconds(10)
    /// A server that asks for a longer pause is asked sooner.
    static let longestRetryAfter = Duration.seconds(10)
    /// Resets, one after another, that make a failed attempt: the job itself may be what ends the connection. The same
    /// holds for errors of a server that is not ready afterwards.
    static let resetLimit = 3
    /// Jobs that are remembered; past it all are forgotten, which only makes the gateway more patient.
    private static let memory = 1024

    package init(since: Timestamp = .now) {
        self.since = since
    }

    package mutating func configure(_ probe: Probe, readyTimeout: Duration) {
        self.readyTimeout = readyTimeout
        guard probe != self.probe else { return }
        self.probe = probe
        isHealthGood = nil
        isBeingAsked = false
        lastAsked = nil
        if outage?.awaitsCall == false { outage = nil }
    }

    private var hasHealthPath: Bool {
        if case .path = probe { true } else { false }
    }

    // MARK: What follows

    package func summary(now: Instant) -> Summary {
        Summary(state: state(now: now), since: since, trouble: trouble)
    }

    package func state(now: Instant) -> State {
        guard let outage, isHealthGood != true else { return .up }
        return outage.isLoading && !isOverdue(now) ? .loading : .down
    }

    package var isAway: Bool { outage != nil }

    /// The server has been asked and seems to be back: one job shall find out.
    package var awaitsProbe: Bool { outage != nil && isHealthGood == true }

    package func gate(now: Instant) -> Gate {
        guard let outage else { return hasHealthPath && isHealthGood == nil ? .closed : .open }
        guard prober == nil else { return .closed }
        guard probe == .job else { return isHealthGood == true ? .probe : .closed }
        return now >= nextTry(outage, hasDue: true) ? .probe : .closed
    }

    /// Answers of 503 alone have held up the line long enough that its jobs probe in turn.
    package func probesInTurn(now: Instant) -> Bool {
        outage != nil && isOverdue(now)
    }

    /// When this job was refused in this outage, to be compared with others; nil: it was not.
    package func refusalNumber(of job: JobKey) -> UInt64? { refused[job] }

    /// When somebody must look again: ask the server, or let a job probe. Nil: not before something happens.
    package func nextLook(hasDue: Bool, now: Instant) -> Instant? {
        guard probe != .job else {
            guard let outage, prober == nil, hasDue else { return nil }
            return nextTry(outage, hasDue: true)
        }
        guard !isBeingAsked else { return nil }
        if let outage, isHealthGood != true { return nextTry(outage, hasDue: hasDue) }
        return hasHealthPath ? lastAsked.map { $0 + Self.healthInterval } ?? now : nil
    }

    /// An error was answered: whether the server is well shall be known at once.
    ///
    /// - Returns: whether there is a health path that can tell.
    package mutating func wantHealth() -> Bool {
        lastAsked = nil
        return hasHealthPath
    }

    /// Whether the server must be asked now; the answer is told with ``health(_:now:wall:)``.
    package mutating func beginAsking(hasDue: Bool, now: Instant) -> Bool {
        guard probe != .job, let next = nextLook(hasDue: hasDue, now: now), next <= now else { return false }
        isBeingAsked = true
        lastAsked = now
        return true
    }

    // MARK: What happens

    /// A job was taken from the line.
    package mutating func take(_ job: JobKey, now: Instant) -> Passage {
        let passage: Passage =
            switch gate(now: now) {
            case .open: .free
            case .probe: .probe
            case .closed: .held
            }
        guard passage != .held else { return .held }
        callCount += 1
        calls[job] = callCount
        if passage == .probe { prober = job }
        return passage
    }

    /// A taken job is done with, whether its call was made or not.
    package mutating func end(_ job: JobKey) {
        calls[job] = nil
        if prober == job { prober = nil }
    }

    /// A call was refused.
    ///
    /// - Returns: whether the attempt is charged to the job, since it is the cause itself; and what has turned.
    package mutating func refuse(
        _ job: JobKey, with refusal: Refusal, now: Instant, wall: Timestamp
    ) -> (isCharged: Bool, transition: Transition?) {
        if prober == job { prober = nil }
        if refusal.kind == .loading, outage == nil, blamed.contains(job) { return (true, nil) }
        var isCharged = false
        switch refusal.kind {
        case .unreachable: break
        case .reset, .notReady:
            resets[job, default: 0] += 1
            isCharged = resets[job] == Self.resetLimit
            if isCharged { resets[job] = nil }
        case .loading: refused[job] = callCount
        }
        forgetSurplus()
        // The health path has said so itself, and decides when it is over.
        guard refusal.kind != .notReady else { return (isCharged, nil) }
        trouble = Trouble(text: refusal.failure.message, at: wall)
        isHealthGood = nil
        refusals += 1
        let transition = keepAway(
            isLoading: refusal.kind == .loading, refusal.failure.message, retryAfter: refusal.retryAfter ?? .zero,
            awaitsCall: true, now, wall
        )
        return (isCharged, transition)
    }

    /// A call has ended otherwise than by a refusal.
    ///
    /// - Parameter failure: why the attempt failed; nil: it was answered.
    package mutating func note(_ failure: Failure?, of job: JobKey, now: Instant, wall: Timestamp) -> Transition? {
        guard let failure else { return answer(job, failure: nil, now: now, wall: wall) }
        guard failure.code == .httpError || failure.code == .tooLarge else {
            breakOff(job, failure: failure.message, now: now, wall: wall)
            return nil
        }
        // A status below 500 says what is wrong with the request.
        let isTrouble = (failure.status ?? 0) >= 500
        return answer(job, failure: isTrouble ? failure.message : nil, now: now, wall: wall)
    }

    /// A call was answered, by whatever but a refusal.
    ///
    /// - Parameter failure: what the answer said is wrong with the server itself.
    mutating func answer(_ job: JobKey, failure: String?, now: Instant, wall: Timestamp) -> Transition? {
        if let begun = calls[job] {
            for (other, refusal) in refused where other != job && refusal < begun {
                blamed.insert(other)
                refused[other] = nil
            }
        }
        if prober == job { prober = nil }
        refused[job] = nil
        blamed.remove(job)
        resets[job] = nil
        refusals = 0
        trouble = failure.map { Trouble(text: $0, at: wall) }
        return open(now, wall)
    }

    /// A call has broken before it was answered, which says nothing of whether the server is there now.
    mutating func breakOff(_ job: JobKey, failure: String, now: Instant, wall: Timestamp) {
        if prober == job { prober = nil }
        resets[job] = nil
        trouble = Trouble(text: failure, at: wall)
        outage?.lastTry = now
    }

    /// The server works on the probe's call: others may follow before it has answered.
    package mutating func accept(_ job: JobKey, now: Instant, wall: Timestamp) -> Transition? {
        prober == job ? open(now, wall) : nil
    }

    /// The health path was asked.
    package mutating func health(_ health: Health, now: Instant, wall: Timestamp) -> Transition? {
        isBeingAsked = false
        guard probe != .job else { return nil }
        switch health {
        case .good:
            isHealthGood = true
            guard outage?.awaitsCall != true else { return nil }
            refusals = 0
            if outage != nil { trouble = nil }
            return open(now, wall)
        case .loading(let reason):
            isHealthGood = false
            refusals += 1
            trouble = Trouble(text: reason, at: wall)
            return keepAway(isLoading: true, reason, awaitsCall: probe == .connection, now, wall)
        case .bad(let reason):
            isHealthGood = false
            refusals += 1
            trouble = Trouble(text: reason, at: wall)
            return keepAway(isLoading: false, reason, awaitsCall: probe == .connection, now, wall)
        }
    }

    // MARK: Private

    private func isOverdue(_ now: Instant) -> Bool {
        guard let since = outage?.loadingSince else { return false }
        return now - since >= readyTimeout
    }

    private func nextTry(_ outage: Outage, hasDue: Bool) -> Instant {
        let longest = hasDue ? Self.longestPause : Self.healthInterval
        let doublings = min(max(refusals - 1, 0), 16)
        return outage.lastTry + max(min(Self.firstPause * (1 << doublings), longest), outage.retryAfter)
    }

    private mutating func keepAway(
        isLoading: Bool,
        _ reason: String,
        retryAfter: Duration = .zero,
        awaitsCall: Bool = false,
        _ now: Instant,
        _ wall: Timestamp
    ) -> Transition? {
        let known = outage
        var next = known ?? Outage(begin: now, lastTry: now, isLoading: isLoading)
        next.lastTry = now
        next.retryAfter = min(max(retryAfter, .zero), Self.longestRetryAfter)
        next.isLoading = isLoading
        next.loadingSince = isLoading ? next.loadingSince ?? now : nil
        next.awaitsCall = awaitsCall
        outage = next
        guard known?.isLoading != isLoading else { return nil }
        since = wall
        return .wentAway(isLoading ? .loading : .down, reason: reason)
    }

    private mutating func open(_ now: Instant, _ wall: Timestamp) -> Transition? {
        // A health path decides: an answered call does not open the line against its word.
        if hasHealthPath, isHealthGood == false { return nil }
        guard let ended = outage else { return nil }
        outage = nil
        since = wall
        isHealthGood = probe == .job ? nil : true
        return .cameBack(after: now - ended.begin)
    }

    private mutating func forgetSurplus() {
        if refused.count > Self.memory { refused = [:] }
        if blamed.count > Self.memory { blamed = [] }
        if resets.count > Self.memory { resets = [:] }
    }
}

extension TimerWheel {
    /// Waits until a model server has had a call long enough that it would have refused it.
    ///
    /// - Parameter sent: rung once the call has gone out, and with ``Bell/Rings/stop`` when it is over.
    /// - Returns: false when it was over before.
    package func isWorkedOn(_ sent: Bell) async -> Bool {
        guard await !sent.wait().contains(.stop) else { return false }
        let deadline = ring(sent, after: Availability.timeToRefuse)
        var rings = Bell.Rings()
        while rings.isDisjoint(with: [.deadline, .stop]) { rings = await sent.wait() }
        cancel(deadline)
        return !rings.contains(.stop)
    }
}
