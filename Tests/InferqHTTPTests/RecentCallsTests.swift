import InferqCore
import Testing

@testable import InferqHTTP

struct RecentCallsTests {
    private let calls = RecentCalls(limit: 100)
    private let now = ContinuousClock.now

    private func job(_ number: Int) -> UUIDv7 {
        UUIDv7(key: JobKey(value: Int64(number + 1)), tag: 1, random: 1)
    }

    private func add(_ number: Int, _ fingerprint: [UInt8], for window: Duration = .seconds(60)) {
        calls.add(job(number), fingerprint, for: window, now: now)
    }

    @Test
    func aRepeatTakesTheNewestEqualCall() {
        add(1, [1])
        add(2, [1])
        add(3, [2])
        #expect(calls.take([1], now: now) == job(2))
        #expect(calls.take([1], now: now) == job(1))
        #expect(calls.take([1], now: now) == nil)
        #expect(calls.take([2], now: now) == job(3))
    }

    @Test
    func nothingIsRememberedWithoutAWindow() {
        add(1, [1], for: .zero)
        #expect(calls.take([1], now: now) == nil)
    }

    @Test
    func equalCallsOfTwoClientsAreTwo() {
        let calls = [("erp", "POST /a"), ("gis", "POST /a"), ("er", "pPOST /a")].map { client, line in
            RecentCalls.fingerprint(of: client, line, "m", [1])
        }
        #expect(Set(calls).count == 3)
    }

    @Test
    func aCallIsForgottenWhenItsWindowIsOver() {
        add(1, [1], for: .seconds(1))
        add(2, [2])
        #expect(calls.take([1], now: now + .milliseconds(1001)) == nil)
        #expect(calls.take([2], now: now + .milliseconds(1001)) == job(2))
    }

    @Test
    func theOldestCallsAreForgottenFirst() {
        for number in 0...100 { add(number, [UInt8(number % 25)]) }
        var found: Set<UUIDv7> = []
        for byte in UInt8(0)..<25 { while let job = calls.take([byte], now: now) { found.insert(job) } }
        #expect(found == Set((1...100).map(job)))
    }

    @Test
    func ofEqualCallsTheNewestAreKeptWhateverRepeatsHaveTaken() {
        for number in 1...90 { add(number, [1]) }
        #expect((1...3).map { _ in calls.take([1], now: now) } == [job(90), job(89), job(88)])
        for number in 101...150 { add(number, [1]) }
        var found: [UUIDv7] = []
        while let job = calls.take([1], now: now) { found.append(job) }
        // Room is for a hundred calls; those that were taken count until their turn comes.
        #expect(found == (101...150).reversed().map(job) + (41...87).reversed().map(job))
    }

    @Test
    func aRepeatWaitsForTheNewsThatItsOwnConnectionHasEnded() async throws {
        let wheel = TimerWheel()
        calls.begin([1])
        async let repeated = calls.take([1], waitingBy: wheel)
        calls.end(job(1), [1], for: .seconds(60))
        #expect(await repeated == job(1))
        #expect(await calls.take([1], waitingBy: wheel) == nil, "nobody waits")
    }
}
