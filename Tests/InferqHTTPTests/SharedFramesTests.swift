import Testing

@testable import InferqCore
@testable import InferqHTTP
@testable import InferqQueue
@testable import InferqStore

@Suite(.timeLimit(.minutes(10)))
struct SharedFramesTests {
    private struct Failed: Error {}

    private let hub = EventHub()
    private let shared: SharedFrames
    private let bells = [Bell(), Bell(), Bell()]
    private let place = SharedFrames.Place(key: JobKey(value: 4096), cursor: 7, isFirst: false)

    init() {
        shared = SharedFrames(hub: hub)
    }

    private func frames() -> EventFrames {
        let job = Job(
            id: UUIDv7(key: place.key, tag: 7, random: 1),
            eventID: UUIDv7(key: place.key, tag: 7, random: 2),
            model: "a",
            options: Job.Options(),
            maxAttempts: 1,
            input: Payload(content: .unread, byteCount: 2, contentType: "application/json", form: .json),
            start: .at(.now),
            now: Moment(wall: .now, elapsed: Elapsed(milliseconds: 0), certain: Elapsed(milliseconds: 0))
        )
        return EventFrames(JobHistory(job: job, events: []), output: nil, isFirst: false)
    }

    private func listen(_ count: Int = 3) {
        for bell in bells.prefix(count) {
            hub.listen(to: place.key, bell)
            shared.join(place.key)
        }
    }

    private func leave() {
        for bell in bells {
            shared.leave(place.key)
            hub.leave(place.key, bell)
        }
    }

    @Test
    func listenersAtTheSamePlaceShareOneRead() async throws {
        listen()
        let first = try await shared.page(at: place) { frames() }
        let second = try await shared.page(at: place) { throw Failed() }
        #expect(first === second)
    }

    @Test
    func whoComesWhileAPageIsReadWaitsForIt() async throws {
        listen()
        let begun = Bell()
        let mayEnd = Bell()
        async let first = shared.page(at: place) {
            begun.ring(.event)
            _ = await mayEnd.wait()
            return frames()
        }
        _ = await begun.wait()
        async let second = shared.page(at: place) { throw Failed() }
        mayEnd.ring(.event)
        #expect(try await first === second)
    }

    @Test
    func aRingMakesAPageOld() async throws {
        listen()
        let before = try await shared.page(at: place) { frames() }
        hub.ring(JobKey(value: 8192))
        #expect(try await shared.page(at: place) { throw Failed() } === before)
        hub.ring(place.key)
        let after = try await shared.page(at: place) { frames() }
        #expect(after !== before)
        #expect(try await shared.page(at: place) { throw Failed() } === after)
    }

    @Test
    func aPageThatWasReadBeforeARingIsNotNewBecauseItCameAfterIt() async throws {
        listen()
        let before = try await shared.page(at: place) {
            hub.ring(place.key)
            return frames()
        }
        #expect(try await shared.page(at: place) { frames() } !== before)
    }

    @Test
    func listenersAtOtherPlacesReadForThemselves() async throws {
        listen()
        let first = try await shared.page(at: place) { frames() }
        for (key, cursor) in [(place.key, 8), (JobKey(value: 8192), 7)] {
            let other = SharedFrames.Place(key: key, cursor: Int64(cursor), isFirst: false)
            #expect(try await shared.page(at: other) { frames() } !== first)
        }
    }

    @Test
    func aSingleListenerLeavesNothingBehind() async throws {
        listen(1)
        let alone = try await shared.page(at: place) { frames() }
        #expect(try await shared.page(at: place) { frames() } !== alone)
    }

    @Test
    func whoListensAfterTheLastOneLeftDoesNotGetItsPage() async throws {
        listen()
        let before = try await shared.page(at: place) { frames() }
        leave()
        listen()
        #expect(try await shared.page(at: place) { frames() } !== before)
    }

    @Test
    func ringsThatNobodyHeardMakeAPageOldToo() async throws {
        listen()
        let before = try await shared.page(at: place) { frames() }
        // Others than listeners may be at the hub, and leave it last.
        for bell in bells { hub.leave(place.key, bell) }
        hub.ring(place.key)
        for bell in bells { hub.listen(to: place.key, bell) }
        #expect(try await shared.page(at: place) { frames() } !== before)
    }

    @Test
    func whoWaitsForTheJobAndDoesNotListenSharesNothing() async throws {
        listen(1)
        hub.listen(to: place.key, Bell())
        let alone = try await shared.page(at: place) { frames() }
        #expect(try await shared.page(at: place) { frames() } !== alone)
    }

    @Test
    func aPageThatAllHaveIsGone() async throws {
        listen(2)
        let before = try await shared.page(at: place) { frames() }
        #expect(try await shared.page(at: place) { throw Failed() } === before)
        #expect(try await shared.page(at: place) { frames() } !== before)
    }

    @Test
    func thoseWhoBeginAndThoseWhoGoOnHaveAPageEach() async throws {
        listen()
        let begin = SharedFrames.Place(key: place.key, cursor: place.cursor, isFirst: true)
        let first = try await shared.page(at: begin) { frames() }
        let later = try await shared.page(at: place) { frames() }
        #expect(try await shared.page(at: begin) { throw Failed() } === first)
        #expect(try await shared.page(at: place) { throw Failed() } === later)
    }

    @Test
    func whoSharesAReadThatFailsReadsForItself() async throws {
        listen()
        let begun = Bell()
        let mayEnd = Bell()
        async let first = Result {
            try await shared.page(at: place) {
                begun.ring(.event)
                _ = await mayEnd.wait()
                throw Failed()
            }
        }
        _ = await begun.wait()
        async let second = shared.page(at: place) { frames() }
        mayEnd.ring(.event)
        #expect(try await second != nil)
        let failed = await first
        #expect(throws: Failed.self) { try failed.get() }
    }

    @Test
    func aFailureIsNotKept() async throws {
        listen()
        await #expect(throws: Failed.self) { try await shared.page(at: place) { throw Failed() } }
        #expect(try await shared.page(at: place) { frames() } != nil)
    }

    @Test
    func aJobThatIsGoneLeavesNothingBehind() async throws {
        listen()
        #expect(try await shared.page(at: place) { nil } == nil)
        #expect(try await shared.page(at: place) { frames() } != nil)
    }
}
