/// One request to run a model, from its submission to its final state.
///
/// All changes of ``state`` are the functions below; the store calls them inside a write transaction and appends the
/// events that they return in the same one. They are pure, take `now`, and throw instead of trapping, since a stored
/// row may be older than the program. `docs/job-lifecycle.md` draws the diagram.
package struct Job: Sendable, Equatable, Identifiable {
    package enum State: Sendable, Equatable {
        /// Waits for its `runAt` (not due) or for a worker (due).
        case pending(isDue: Bool)
        /// A worker has it, and this lease alone may end the attempt.
        case running(Lease)
        case completed(finishedAt: Timestamp)
        case failed(finishedAt: Timestamp)
        case cancelled(finishedAt: Timestamp)
    }

    package let key: JobKey
    package let id: UUIDv7
    package let eventID: UUIDv7
    package let model: String
    package let options: Options
    /// How many attempts may fail: the client's wish, or the model's own of then.
    package let maxAttempts: Int
    /// Nil: it does not expire.
    package var expiry: Expiry?
    /// When it was submitted, by the wall clock of then.
    package let createdAt: Timestamp
    package var input: Payload

    package var state: State
    /// The earliest start of the next attempt, as it is shown.
    package var runAt: Timestamp
    /// When a pause ends that is a duration, by no wall clock; nil: ``runAt`` is what counts, as a client named it.
    package var due: Elapsed?
    /// Attempts that were started, as shown. An interrupted one counts here, and not in ``failures``.
    package var attempt = 0
    /// Attempts that failed: what `maxAttempts` is compared with.
    package var failures = 0
    /// Grows at every claim and is never shown: the fence against late and doubled outcomes.
    package var lease = Lease(number: 0)
    /// Crashes of the gateway, or of workers elsewhere, one after another, while this job ran.
    package var crashes = 0
    /// The start of the first attempt.
    package var startedAt: Timestamp?
    /// The cause of the last failed attempt.
    package var error: Failure?
    package var output: Payload?
    package var layers = PredictedLayers.none
    /// Progress reports of the model server, over all attempts.
    package var reports = 0
    /// The id of the newest event, pieces of answers aside.
    package var lastEvent: Int64 = 0
    /// What the pieces of answers take in the store, over all attempts that have ended: bytes.
    package var streamed = 0

    /// A number that one claim of one job has and no other.
    package struct Lease: Sendable, Hashable {
        package let number: Int64

        package init(number: Int64) {
            self.number = number
        }
    }

    package init(
        id: UUIDv7,
        eventID: UUIDv7,
        model: String,
        options: Options,
        maxAttempts: Int,
        expiry: Expiry? = nil,
        input: Payload,
        start: Start,
        now: Moment
    ) {
        let (runAt, due): (Timestamp, Elapsed?) =
            switch start {
            case .at(let moment): (max(moment, now.wall), nil)
            case .after(let delay): (now.wall + delay, now.elapsed + delay)
            }
        self.init(
            id: id, eventID: eventID, model: model, options: options, maxAttempts: maxAttempts, expiry: expiry,
            createdAt: now.wall, input: input, state: .pending(isDue: runAt <= now.wall), runAt: runAt, due: due
        )
    }

    /// As a row has it.
    package init(
        id: UUIDv7,
        eventID: UUIDv7,
        model: String,
        options: Options,
        maxAttempts: Int,
        expiry: Expiry?,
        createdAt: Timestamp,
        input: Payload,
        state: State,
        runAt: Timestamp,
        due: Elapsed?
    ) {
        key = id.key
        self.id = id
        self.eventID = eventID
        self.model = model
        self.options = options
        self.maxAttempts = maxAttempts
        self.expiry = expiry
        self.createdAt = createdAt
        self.input = input
        self.state = state
        self.runAt = runAt
        self.due = due
    }

    package var status: Status {
        switch state {
        case .pending: .pending
        case .running: .running
        case .completed: .completed
        case .failed: .failed
        case .cancelled: .cancelled
        }
    }

    package var finishedAt: Timestamp? {
        switch state {
        case .pending, .running: nil
        case .completed(let at), .failed(let at), .cancelled(let at): at
        }
    }

    package var isDue: Bool { state == .pending(isDue: true) }

    /// Whether processes have crashed often enough under this job for it to run alone.
    package var isSuspect: Bool { crashes >= Self.crashesOfSuspect }

    package static let crashesOfSuspect = 2
    static let crashesOfPoison = 3
}

// MARK: Transitions

extension Job {
    /// The event of the submission.
    package func accepted() -> JobEvent.Draft {
        draft(.updated, text: "accepted")
    }

    /// A pending job whose time has come. No event: nothing that a client sees has changed.
    package mutating func becomeDue() throws(IllegalTransition) {
        guard case .pending = state else { throw IllegalTransition(id, status, "become due") }
        state = .pending(isDue: true)
    }

    /// The lease that the next claim gets.
    package var nextLease: Lease { Lease(number: lease.number + 1) }

    /// A worker takes the job: a new lease, the next attempt.
    ///
    /// - Parameters:
    ///   - promised: the lease that the worker was offered; nil: whichever is next.
    ///   - isProbe: the model server is away, and this call shows whether it is back: no event before it has taken it.
    /// - Throws: ``IllegalTransition`` also when another claim has had the promised lease.
    package mutating func claim(
        promised: Lease? = nil,
        isProbe: Bool = false,
        now: Moment
    ) throws(IllegalTransition) -> [JobEvent.Draft] {
        guard isDue, promised == nil || promised == nextLease else { throw IllegalTransition(id, status, "claim") }
        lease = nextLease
        attempt += 1
        startedAt = startedAt ?? now.wall
        state = .running(lease)
        return isProbe ? [] : [started]
    }

    private var started: JobEvent.Draft { draft(.updated, text: "attempt \(attempt) started") }

    /// The model server works on a probe: from now on it is an attempt that clients see.
    ///
    /// - Throws: ``IllegalTransition`` when the lease has passed on or the job has ended.
    package mutating func show(_ claimed: Lease) throws(IllegalTransition) -> [JobEvent.Draft] {
        guard case .running(claimed) = state else { throw IllegalTransition(id, status, "show") }
        return [started]
    }

    /// The model server tells of its progress, or hands over layers.
    ///
    /// - Throws: ``IllegalTransition`` when the attempt is over, or ``ReportRefusal``.
    package mutating func report(_ claimed: Lease, _ report: Report, limit: Int) throws -> [JobEvent.Draft] {
        guard case .running(claimed) = state else { throw IllegalTransition(id, status, "report") }
        guard reports < limit else { throw ReportRefusal.tooMany(limit: limit) }
        if let handedOver = report.layers {
            var all: [UInt8] = []
            if case .early(let before) = layers { all = before }
            all = all.isEmpty ? handedOver : JSONScanner.joined(all, handedOver)
            guard all.count <= Report.layersLimit else { throw ReportRefusal.tooLarge(limit: Report.layersLimit) }
            layers = .early(all)
        }
        reports += 1
        var told = draft(report.layers == nil ? .progress : .layersReady)
        told.error = nil
        told.detail = report.detail
        return [told]
    }

    /// The event of a piece of the answer that the running attempt is getting.
    package func told(_ piece: Piece) -> JobEvent.Draft {
        var told = draft(.output)
        told.error = nil
        told.piece = piece
        return told
    }

    /// Ends the claimed attempt: completed, failed for good, or pending again when `retry` allows one more or the model
    /// server did not take the call.
    ///
    /// - Parameter isShown: whether clients have seen the attempt start, as they have but for a probe.
    /// - Throws: ``IllegalTransition`` when the lease has passed on or the job has ended; the late outcome is dropped.
    package mutating func finish(
        _ claimed: Lease,
        with outcome: Outcome,
        retry: RetryPolicy,
        isShown: Bool = true,
        jitter: Double,
        now: Moment
    ) throws(IllegalTransition) -> [JobEvent.Draft] {
        guard case .running(claimed) = state else { throw IllegalTransition(id, status, "finish") }
        crashes = 0
        if case .refused(let refusal) = outcome {
            goBack()
            return isShown
                ? [draft(.updated, text: "\(refusal.failure.message); the job keeps its place and waits")] : []
        }
        var before = isShown ? [] : [started]
        if let rest = outcome.rest { before.append(told(rest)) }
        return before + end(with: outcome, retry: retry, jitter: jitter, now: now)
    }

    private mutating func end(
        with outcome: Outcome, retry: RetryPolicy, jitter: Double, now: Moment
    ) -> [JobEvent.Draft] {
        switch outcome {
        case .refused: return []
        case .answered(let answer):
            output = answer.payload
            if answer.layers != .none { layers = answer.layers }
            error = nil
            state = .completed(finishedAt: now.wall)
            return [draft(.updated)]
        case .failed(var failure, let retryAfter, let answer):
            failure.attempt = attempt
            failures += 1
            error = failure
            layers = .none
            guard retry.allows(failure, after: failures) else {
                // Of a native submit an answer is shown only if it is whole.
                output = options.call == nil ? nil : answer?.payload
                state = .failed(finishedAt: now.wall)
                return [draft(.failed)]
            }
            let pause = retry.pause(after: failures, retryAfter: retryAfter, jitter: jitter)
            runAt = now.wall + pause
            due = now.elapsed + pause
            let told = draft(.attemptFailed)
            state = .pending(isDue: runAt <= now.wall)
            return [told, draft(.updated, text: "attempt \(attempt) failed and will be repeated")]
        }
    }

    /// As before the claim, but for the lease: the model server has not begun the attempt.
    private mutating func goBack() {
        attempt -= 1
        if attempt == 0 { startedAt = nil }
        layers = .none
        state = .pending(isDue: true)
    }

    /// Puts a running job back whose attempt was cut short through no fault of its own: it does not count.
    ///
    /// - Parameter isShown: whether clients have seen the attempt start; otherwise they see nothing of its end.
    package mutating func interrupt(
        _ claimed: Lease,
        reason: String,
        isShown: Bool = true,
        now: Moment
    ) throws(IllegalTransition) -> [JobEvent.Draft] {
        guard case .running(claimed) = state else { throw IllegalTransition(id, status, "interrupt") }
        guard isShown else {
            goBack()
            return []
        }
        layers = .none
        runAt = now.wall
        due = nil
        state = .pending(isDue: true)
        return [draft(.updated, text: "attempt \(attempt) was interrupted (\(reason)) and will be repeated")]
    }

    /// Found running at the start, left behind by a process that is gone.
    ///
    /// - Parameters:
    ///   - isCrash: false when the machine itself went down since: a power cut is no one's fault.
    ///   - wasAlone: no other suspect ran, and nothing else of its model; only then a third crash is its own.
    package mutating func recover(
        isCrash: Bool,
        wasAlone: Bool,
        now: Moment
    ) throws(IllegalTransition) -> [JobEvent.Draft] {
        guard case .running = state else { throw IllegalTransition(id, status, "recover") }
        return try endAttempt(isCrash: isCrash, of: "the gateway", wasAlone: wasAlone, now: now)
    }

    /// The worker elsewhere that ran the claimed attempt has crashed.
    ///
    /// - Parameter wasAlone: no other suspect ran there, and nothing else of its model.
    /// - Throws: ``IllegalTransition`` when the lease has passed on.
    package mutating func crash(
        _ claimed: Lease,
        wasAlone: Bool,
        now: Moment
    ) throws(IllegalTransition) -> [JobEvent.Draft] {
        guard case .running(claimed) = state else { throw IllegalTransition(id, status, "crash") }
        return try endAttempt(isCrash: true, of: "its worker", wasAlone: wasAlone, now: now)
    }

    private mutating func endAttempt(
        isCrash: Bool,
        of process: String,
        wasAlone: Bool,
        now: Moment
    ) throws(IllegalTransition) -> [JobEvent.Draft] {
        if isCrash { crashes += 1 }
        if isCrash, crashes >= Self.crashesOfPoison {
            guard !wasAlone else {
                error = Failure(
                    .poisoned,
                    "\(process) crashed \(crashes) times while this job ran, the last time while it ran alone",
                    attempt: attempt,
                    isRetryable: false
                )
                state = .failed(finishedAt: now.wall)
                return [draft(.failed)]
            }
            crashes = Self.crashesOfSuspect
        }
        return try interrupt(lease, reason: isCrash ? "\(process) crashed" : "the power failed", now: now)
    }

    /// Ends a job that has not ended. An ended one stays as it is: no event, no error.
    package mutating func cancel(now: Moment) -> [JobEvent.Draft] {
        guard !status.isFinal else { return [] }
        error = nil
        state = .cancelled(finishedAt: now.wall)
        return [draft(.updated)]
    }

    /// Whether it is too late for its first attempt.
    package func isExpired(_ now: Moment) -> Bool {
        attempt == 0 && expiry.map { $0.elapsed <= now.elapsed } ?? false
    }

    /// Ends a job whose first attempt had not begun in time.
    package mutating func expire(now: Moment) throws(IllegalTransition) -> [JobEvent.Draft] {
        guard case .pending = state, isExpired(now), let expiry else {
            throw IllegalTransition(id, status, "expire")
        }
        error = Failure(
            .expired,
            "no attempt had begun by \(expiry.at.rfc3339), when the job expired",
            isRetryable: false
        )
        state = .failed(finishedAt: now.wall)
        return [draft(.failed)]
    }

    private func draft(_ kind: JobEvent.Kind, text: String? = nil) -> JobEvent.Draft {
        JobEvent.Draft(
            kind: kind,
            status: status,
            attempt: attempt,
            runAt: runAt,
            text: text,
            error: status.isFinal ? nil : error
        )
    }
}
