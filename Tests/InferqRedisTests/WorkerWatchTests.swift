import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqRedis
@testable import InferqStore

/// When a worker counts as dead, when an attempt as unknown to it, and when a death as a crash.
struct WorkerWatchTests {
    private let gateway = InstanceID.random().text
    private let start = ContinuousClock.now

    private var attempt: AttemptName {
        AttemptName(
            gateway: gateway, job: UUIDv7(key: JobKey(value: 1), tag: 1, random: 1), lease: Job.Lease(number: 1))
    }

    private func told(_ beat: Int, naming: [AttemptName] = [], interval: Int = 2000, boot: String = "far")
        -> WorkerHeartbeat
    {
        WorkerHeartbeat(
            name: "w", host: "h", slots: ["m": 1], busy: [:], attempts: [gateway: naming.map(\.short)],
            interval: interval, beat: beat, boot: boot
        )
    }

    private func watch(patience: Duration = .seconds(60)) -> WorkerWatch {
        var watch = WorkerWatch()
        watch.beginSession(patience: patience, now: start)
        return watch
    }

    // MARK: Deaths

    /// After an outage, what is in Redis is older than the outage.
    @Test
    func aHeartbeatThatOnlyExpiresDoesNotMakeItsWorkerDead() {
        var watch = watch()
        _ = watch.look(at: ["w": told(5)], listed: ["w"], now: start)
        _ = watch.look(at: ["w": told(5)], listed: ["w"], now: start + .seconds(1))
        #expect(watch.look(at: [:], listed: ["w"], now: start + .seconds(9)) == ["w"])
        #expect(!watch.isDead("w", now: start + .seconds(9)))
        #expect(watch.isDead("w", now: start + .seconds(61)))
    }

    @Test
    func aWorkerThatWasHeardInThisSessionIsDeadOnceItsHeartbeatIsGone() {
        var watch = watch()
        _ = watch.look(at: ["w": told(5)], listed: ["w"], now: start)
        _ = watch.look(at: ["w": told(6), "new": told(1)], listed: ["w"], now: start + .seconds(1))
        #expect(watch.look(at: [:], listed: [], now: start + .seconds(9)) == ["w", "new"])
        #expect(watch.isDead("w", now: start + .seconds(9)))
        #expect(watch.isDead("new", now: start + .seconds(9)))
        watch.beginSession(patience: .seconds(60), now: start + .seconds(10))
        #expect(!watch.isDead("w", now: start + .seconds(11)))
    }

    // MARK: Attempts that a worker does not name

    /// - Returns: after how many seconds the attempt counts as unknown to its worker, if within a minute.
    private func unknown(_ told: (Int) -> WorkerHeartbeat) -> Int? {
        var watch = watch()
        let run = WorkerWatch.Run(name: attempt, worker: "w", since: start)
        return (0...60).first { second in
            let alive = ["w": told(second)]
            _ = watch.look(at: alive, listed: ["w"], now: start + .seconds(second))
            return !watch.unknown([run], alive, now: start + .seconds(second)).isEmpty
        }
    }

    @Test
    func aWorkerThatBeatsAndDoesNotNameAnAttemptDoesNotKnowIt() {
        #expect(unknown { told($0) } == 7)
    }

    @Test
    func anOldHeartbeatSaysNothingOfAnAttempt() {
        #expect(unknown { _ in told(5) } == nil)
    }

    @Test
    func oneThatIsNamedIsKnown() {
        #expect(unknown { told($0, naming: [attempt]) } == nil)
    }

    @Test
    func aWorkerThatBeatsSeldomIsGivenTheTime() {
        #expect(unknown { told($0 / 10, interval: 20_000) } == nil)
        #expect(unknown { told($0 / 5, interval: 10_000) } == 31)
    }

    // MARK: Crashes

    @Test
    func aDeathCountsAsACrashWhereItsMachineIsUp() {
        var watch = watch()
        var alive = ["w": told(1), "neighbor": told(1), "elsewhere": told(1, boot: "other")]
        _ = watch.look(at: alive, listed: [], now: start)
        #expect(!watch.hasCrashed("w", boot: "here"))
        alive["w"] = nil
        for second in 1...11 {
            alive["neighbor"] = told(1 + second)
            alive["elsewhere"] = told(1 + second, boot: "other")
            _ = watch.look(at: alive, listed: [], now: start + .seconds(second))
        }
        #expect(watch.hasCrashed("w", boot: "here"))
        #expect(!watch.hasCrashed("unheard of", boot: "here"))
    }

    /// Its workers are seen for the last time within a moment.
    @Test
    func aMachineThatGoesDownIsNobodysCrash() {
        var watch = watch()
        _ = watch.look(at: ["w": told(1), "neighbor": told(1)], listed: [], now: start)
        _ = watch.look(at: ["w": told(1), "neighbor": told(2)], listed: [], now: start + .seconds(1))
        _ = watch.look(at: ["neighbor": told(2)], listed: [], now: start + .seconds(10))
        #expect(!watch.hasCrashed("w", boot: "here"))
    }

    @Test
    func theGatewayIsAWitnessForItsOwnMachine() {
        var watch = watch()
        _ = watch.look(at: ["w": told(1, boot: "here")], listed: [], now: start)
        #expect(watch.hasCrashed("w", boot: "here"))
    }

    @Test
    func whatItDidForOthersIsKnownAfterItsDeath() {
        var watch = watch()
        _ = watch.look(at: ["w": told(1, naming: [attempt])], listed: [], now: start)
        #expect(!watch.servedOthers("w", but: gateway))
        #expect(watch.servedOthers("w", but: InstanceID.random().text))
    }
}
