import TestSupport
import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqStore

@Suite(.timeLimit(.minutes(10)))
struct EventHubTests {
    private let hub = EventHub()
    private let job = Job.sample(0).key
    private let other = Job.sample(1).key

    @Test
    func everyListenerOfAJobHearsItsEvent() async {
        let bells = [Bell(), Bell()]
        for bell in bells { hub.listen(to: job, bell) }
        hub.ring(job)
        for bell in bells { #expect(await bell.wait() == .event) }
    }

    @Test
    func eventsOfOtherJobsAreNotHeard() async {
        let bell = Bell()
        hub.listen(to: job, bell)
        hub.ring(other)
        hub.stop()
        #expect(await bell.wait() == .stop)
    }

    @Test
    func aBellRingsOnceTheLastListenerHasLeft() async {
        let bells = [Bell(), Bell()]
        for bell in bells { hub.listen(to: job, bell) }
        let quiet = Bell()
        hub.whenQuiet(job, ring: quiet)
        hub.leave(job, bells[0])
        #expect(!quiet.hasRung)
        hub.leave(job, bells[1])
        #expect(await quiet.wait() == .event)
        hub.whenQuiet(job, ring: quiet)
        #expect(await quiet.wait() == .event, "nobody listens")
    }

    @Test
    func whoHasLeftHearsNothing() async {
        let bell = Bell()
        hub.listen(to: job, bell)
        hub.leave(job, bell)
        hub.ring(job)
        hub.stop()
        bell.ring(.hangUp)
        #expect(await bell.wait() == .hangUp)
    }

    @Test
    func oneThatLeavesLeavesTheOthers() async {
        let (bell, rest) = (Bell(), Bell())
        hub.listen(to: job, bell)
        hub.listen(to: job, rest)
        hub.leave(job, bell)
        hub.ring(job)
        #expect(await rest.wait() == .event)
    }

    @Test
    func whoListensAfterTheStopIsToldAtOnce() async {
        let bell = Bell()
        hub.stop()
        hub.listen(to: job, bell)
        #expect(await bell.wait() == .stop)
    }

    @Test
    func listenersAreCountedOnce() {
        let bell = Bell()
        hub.listen(to: job, bell)
        hub.listen(to: job, bell)
        hub.listen(to: other, bell)
        #expect(hub.listenerCount == 2)
        hub.leave(job, bell)
        hub.leave(job, bell)
        #expect(hub.listenerCount == 1)
    }

    @Test
    func whoListensToAllHearsEveryJobUntilItLeaves() async {
        let bell = Bell()
        hub.listenToAll(bell)
        for job in [job, other] {
            hub.ring(job)
            #expect(await bell.wait() == .event)
        }
        hub.leaveAll(bell)
        hub.ring(job)
        bell.ring(.hangUp)
        #expect(await bell.wait() == .hangUp)
    }

    @Test
    func whoListensToAllIsToldOfTheStop() async {
        let (before, after) = (Bell(), Bell())
        hub.listenToAll(before)
        hub.stop()
        hub.listenToAll(after)
        for bell in [before, after] { #expect(await bell.wait() == .stop) }
    }
}
