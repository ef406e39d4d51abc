/// Which workers are gone for good, and which attempts those that live do not know of.
///
/// Judged by the beats of a worker that were seen to change in this session. A heartbeat that is in Redis says only
/// that its worker lived when it was written: after an outage it may be older than the attempts that it does not name,
/// and may expire before its worker has found back.
struct WorkerWatch: Sendable {
    /// An attempt as its gateway knows it.
    struct Run: Sendable {
        let name: AttemptName
        let worker: String
        let since: ContinuousClock.Instant
    }

    private struct Sighting {
        var told: WorkerHeartbeat
        /// When its beat was last seen to be another one.
        var changed: ContinuousClock.Instant
    }

    private struct Silence {
        let since: ContinuousClock.Instant
        let beat: Int
    }

    private var begin: ContinuousClock.Instant = .now
    private var patience = Duration.zero
    private var isFirstLook = true
    /// The beats that lay in Redis at the first look of this session.
    private var found: [String: Int] = [:]
    /// Those that have shown themselves in this session.
    private var seen: Set<String> = []
    /// Those that are not known to be dead.
    private var known: Set<String> = []
    private var sightings: [String: Sighting] = [:]
    /// Attempts that a worker has not named, with the first heartbeat without them.
    private var silent: [AttemptName: Silence] = [:]

    /// A worker that holds an attempt names it in its next heartbeat; an attempt may be missing for at least this long.
    private static let silence = Duration.seconds(6)
    /// Heartbeats without an attempt after which its worker does not know of it: one may have been on its way.
    private static let beats = 2

    /// - Parameter patience: how long one may take to show itself.
    mutating func beginSession(patience: Duration, now: ContinuousClock.Instant) {
        begin = now
        self.patience = patience
        isFirstLook = true
        found = [:]
        seen = []
        silent = [:]
    }

    /// - Returns: workers that may be gone: those that are known, or listed, and have no heartbeat.
    mutating func look(
        at alive: [String: WorkerHeartbeat], listed: Set<String>, now: ContinuousClock.Instant
    ) -> Set<String> {
        if isFirstLook { found = alive.mapValues(\.beat) }
        isFirstLook = false
        for (id, told) in alive {
            if found[id] != told.beat { seen.insert(id) }
            let isNew = sightings[id]?.told.beat != told.beat
            sightings[id] = Sighting(told: told, changed: isNew ? now : sightings[id]?.changed ?? now)
        }
        known.formUnion(alive.keys)
        return known.union(listed).subtracting(alive.keys)
    }

    /// Whether a worker without a heartbeat is gone for good. One that has not shown itself since Redis came back has
    /// some time to do so; so has every one when this process begins.
    func isDead(_ worker: String, now: ContinuousClock.Instant) -> Bool {
        seen.contains(worker) || now - begin > patience
    }

    mutating func forget(_ worker: String) {
        known.remove(worker)
        sightings[worker] = nil
        found[worker] = nil
    }

    /// Whether a dead worker has died by itself: its machine is up and reaches Redis, as others on it show. Otherwise
    /// the power may have failed, or the line, and that is not a job's fault.
    ///
    /// - Parameter boot: of the kernel here, and so of a witness that is always there.
    func hasCrashed(_ worker: String, boot: String) -> Bool {
        guard let dead = sightings[worker], !dead.told.boot.isEmpty else { return false }
        if dead.told.boot == boot { return true }
        // Of several that go with their machine, one is seen last: a witness has lived for a while after.
        let later = dead.changed + .milliseconds(2 * dead.told.interval)
        return sightings.contains { id, other in
            id != worker && other.told.boot == dead.told.boot && other.changed > later
        }
    }

    /// Whether a worker held attempts of other gateways in its last heartbeat.
    func servedOthers(_ worker: String, but gateway: String) -> Bool {
        sightings[worker]?.told.attempts.contains { $0.key != gateway && !$0.value.isEmpty } ?? false
    }

    /// Attempts of which their workers, who live, do not know: either may have missed a message of the other.
    mutating func unknown(_ runs: [Run], _ alive: [String: WorkerHeartbeat], now: ContinuousClock.Instant) -> [Run] {
        var silent: [AttemptName: Silence] = [:]
        var unknown: [Run] = []
        for run in runs {
            guard let told = alive[run.worker], told.attempts[run.name.gateway]?.contains(run.name.short) != true else {
                continue
            }
            let first = self.silent[run.name] ?? Silence(since: now, beat: told.beat)
            silent[run.name] = first
            let patience = max(Self.silence, .milliseconds(3 * told.interval))
            let isLong = now - first.since > patience && now - run.since > patience
            if isLong, told.beat - first.beat >= Self.beats { unknown.append(run) }
        }
        self.silent = silent
        return unknown
    }
}
