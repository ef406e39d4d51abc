import InferqCore
import InferqQueue
import TestSupport
import Testing

@testable import InferqRedis

/// What a worker holds, and what a gateway's word makes of it: without Redis and without a clock.
struct WorkerLedgerTests {
    private static let gateway = "0123456789abcdef"
    private let ledger = WorkerLedger()
    private let slot = WorkerSlot()
    private let name = AttemptName(gateway: Self.gateway, job: Job.sample().id, lease: Job.Lease(number: 1))

    private static let own: Set<String> = ["a"]

    /// An attempt that runs.
    private func begun() throws -> StopSignal {
        let stop = try #require(ledger.ask(name, of: "a", slot))
        ledger.receive(.go, name)
        return stop
    }

    // MARK: Attempts

    @Test
    func whatIsHeldIsNotAskedForAgain() throws {
        _ = try #require(ledger.ask(name, of: "a", slot))
        #expect(ledger.ask(name, of: "a", WorkerSlot()) == nil)
        ledger.receive(.go, name)
        #expect(ledger.ask(name, of: "a", WorkerSlot()) == nil)
        ledger.end(name, .interrupted(reason: "test"))
        #expect(ledger.ask(name, of: "a", WorkerSlot()) == nil, "its outcome is not stored yet")
        ledger.receive(.done, name)
        #expect(ledger.ask(name, of: "a", WorkerSlot()) != nil)
    }

    @Test(arguments: [(GatewayMessage.go, true), (.no, false), (.stop, false)])
    func aQuestionHasOneAnswer(_ message: GatewayMessage, _ isOwn: Bool) async throws {
        _ = try #require(ledger.ask(name, of: "a", slot))
        ledger.receive(message, name)
        #expect(await slot.bell.wait().contains(.event))
        #expect(ledger.settle(name) == isOwn)
        #expect(ledger.heldCount == (isOwn ? 1 : 0))
    }

    @Test
    func aQuestionWithoutAnAnswerLeavesNothing() throws {
        _ = try #require(ledger.ask(name, of: "a", slot))
        #expect(!ledger.settle(name))
        #expect(ledger.heldCount == 0)
        ledger.receive(.go, name)
        #expect(ledger.runningCount == 0, "the word came too late")
    }

    @Test
    func aStopReachesTheAttemptThatRuns() throws {
        let stop = try begun()
        ledger.receive(.go, name)
        ledger.receive(.no, name)
        #expect(stop.reason == nil && ledger.runningCount == 1, "neither says anything to an attempt that runs")
        ledger.receive(.stop, name)
        #expect(stop.reason == .cancelled)
    }

    @Test(arguments: [GatewayMessage.done, .stop])
    func anOutcomeIsKeptUntilItsGatewayHasIt(_ message: GatewayMessage) throws {
        _ = try begun()
        ledger.end(name, .interrupted(reason: "test"))
        ledger.receive(.go, name)
        #expect(ledger.heldCount == 1 && ledger.runningCount == 0)
        ledger.receive(message, name)
        #expect(ledger.heldCount == 0)
    }

    // MARK: Receipts

    @Test
    func aLateOutcomeIsToldAgainToAGatewayThatLives() throws {
        _ = try begun()
        ledger.end(name, .interrupted(reason: "test"))
        let later = ContinuousClock.now + .seconds(60)
        #expect(ledger.lateOutcomes().isEmpty, "it was told this moment")
        #expect(ledger.lateOutcomes(now: later).isEmpty, "its gateway is away, and finds in Redis what it was sent")
        _ = ledger.saw([Self.gateway: ["a"]], own: Self.own)
        #expect(ledger.lateOutcomes(now: later).map(\.0) == [name])
        #expect(ledger.lateOutcomes(now: later).isEmpty, "it was told a moment ago")
    }

    @Test
    func afterAnOutageEveryOutcomeIsToldAgain() throws {
        _ = try begun()
        ledger.end(name, .interrupted(reason: "test"))
        ledger.disconnected()
        ledger.connected()
        #expect(ledger.lateOutcomes().isEmpty, "no gateway has been seen yet")
        _ = ledger.saw([Self.gateway: ["a"]], own: Self.own)
        #expect(ledger.lateOutcomes().map(\.0) == [name])
    }

    // MARK: Gateways and slots

    @Test
    func gatewaysAreAskedInTurn() {
        _ = ledger.saw(["1": ["a"], "2": ["a", "b"], "3": ["b"]], own: Self.own)
        func wanted() -> [String] { ledger.wanted("a", patience: .zero) { true } }
        #expect(wanted() == [], "no slot waits")
        #expect(ledger.enter(slot, for: "a"))
        #expect([wanted(), wanted(), wanted()] == [["1", "2"], ["2", "1"], ["1", "2"]])
        #expect(ledger.wanted("a", patience: .zero) { false } == [], "its model server is away")
        ledger.lost(["1"])
        #expect(wanted() == ["2"])
        #expect(ledger.takeSlot(of: "a") === slot && ledger.takeSlot(of: "a") == nil)
        #expect(wanted() == [])
        #expect(!ledger.leave(slot, of: "a"), "it has a job")
    }

    @Test
    func thatNoGatewayHasItsModelsIsNoticed() throws {
        #expect(ledger.saw(["1": ["a"]], own: Self.own) == nil)
        let first = try #require(ledger.saw(["1": ["b"]], own: Self.own))
        let second = try #require(ledger.saw([:], own: Self.own))
        #expect(first <= second)
        #expect(ledger.saw(["1": ["a"]], own: Self.own) == nil)
    }

    // MARK: Heartbeats

    @Test
    func aHeartbeatNamesWhatIsItsOwn() throws {
        _ = ledger.saw([Self.gateway: ["a"]], own: Self.own)
        _ = try #require(ledger.ask(name, of: "a", slot))
        let first = ledger.beat()
        #expect(first.number == 1 && first.attempts == [] && first.busy == [:] && first.informed == [])
        ledger.receive(.go, name)
        ledger.serversChanged()
        let second = ledger.beat()
        #expect(second.number == 2 && second.attempts == [name] && second.busy == ["a": 1])
        #expect(second.informed == [Self.gateway])
        ledger.end(name, .interrupted(reason: "test"))
        let third = ledger.beat()
        #expect(third.attempts == [name] && third.busy == [:] && third.informed == [], "they were asked once")
    }

    // MARK: The stop

    @Test
    func aWorkerThatDrainsTakesNothingMore() async {
        #expect(ledger.enter(slot, for: "a"))
        _ = ledger.saw([Self.gateway: ["a"]], own: Self.own)
        ledger.drain()
        #expect(await slot.bell.wait().contains(.stop))
        #expect(ledger.leave(slot, of: "a") && !ledger.enter(slot, for: "a"))
        #expect(ledger.isDraining && ledger.beat().isDraining && ledger.isIdle)
        #expect(ledger.wanted("a", patience: .zero) { true } == [])
        #expect(ledger.takeSlot(of: "a") == nil)
    }

    @Test
    func anInterruptStopsWhatRunsAndWhatBegins() throws {
        let running = try begun()
        let second = AttemptName(gateway: Self.gateway, job: Job.sample(1).id, lease: Job.Lease(number: 1))
        let asking = try #require(ledger.ask(second, of: "a", WorkerSlot()))
        #expect(!ledger.isIdle)
        ledger.interrupt()
        #expect(running.reason == .serviceStops && asking.reason == nil)
        ledger.receive(.go, second)
        #expect(asking.reason == .serviceStops)
    }
}
