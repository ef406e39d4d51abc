import Testing

@testable import InferqCore
@testable import InferqHTTP

@Suite(.timeLimit(.minutes(1)))
struct SharedFramesTests {
    private struct Failed: Error {}

    private let hub = EventHub()
    private let shared: SharedFrames
    private let bells = [Bell(), Bell()]
    private let place = SharedFrames.Place(key: JobKey(value: 4096), cursor: 7, isFirst: false)

    init() {
        shared = SharedFrames(hub: hub)
    }

    private func frames() -> EventFrames {
        let job = Job(
            id: UUIDv7(key: place.key, tag: 7, random: 1),
            eventID: UUIDv7(key: place.key, tag: 7, random: 2),
            model: "a",
            options: Job.Options(maxAttempts: 1),
            input: Payload(content: .unread, byteCount: 2, contentType: "application/json", isJSON: true),
            runAt: .now,
            now: .now
        )
        return EventFrames(JobHistory(job: job, events: []), output: nil, isFirst: false)
    }

    private func listen(_ count: Int = 2) {
        for bell in bells.prefix(count) { hub.listen(to: place.key, bell) }
    }

    @Test
    func listenersAtTheSamePlaceShareOneRead() async throws {
        listen()
        let first = try await shared.frames(at: place) { frames() }
        let second = try await shared.frames(at: place) { throw Failed() }
        #expect(first === second)
    }

    @Test
    func whoComesWhileAPageIsReadWaitsForIt() async throws {
        listen()
        let begun = Bell()
        let mayEnd = Bell()
        async let first = shared.frames(at: place) {
            begun.ring(.event)
            _ = await mayEnd.wait()
            return frames()
        }
        _ = await begun.wait()
        async let second = shared.frames(at: place) { throw Failed() }
        mayEnd.ring(.event)
        #expect(try await first === second)
    }

    @Test
    func aRingMakesAPageOld() async throws {
        listen()
        let before = try await shared.frames(at: place) { frames() }
        hub.ring(JobKey(value: 8192))
        #expect(try await shared.frames(at: place) { throw Failed() } === before)
        hub.ring(place.key)
        let after = try await shared.frames(at: place) { frames() }
        #expect(after !== before)
        #expect(try await shared.frames(at: place) { throw Failed() } === after)
    }

    @Test
    func aPageThatWasReadBeforeARingIsNotNewBecauseItCameAfterIt() async throws {
        listen()
        let before = try await shared.frames(at: place) {
            hub.ring(place.key)
            return frames()
        }
        #expect(try await shared.frames(at: place) { frames() } !== before)
    }

    @Test
    func listenersAtOtherPlacesReadForThemselves() async throws {
        listen()
        let first = try await shared.frames(at: place) { frames() }
        for (cursor, isFirst) in [(8, false), (7, true)] {
            let other = SharedFrames.Place(key: place.key, cursor: Int64(cursor), isFirst: isFirst)
            #expect(try await shared.frames(at: other) { frames() } !== first)
        }
    }

    @Test
    func aSingleListenerLeavesNothingBehind() async throws {
        listen(1)
        let alone = try await shared.frames(at: place) { frames() }
        #expect(try await shared.frames(at: place) { frames() } !== alone)
    }

    @Test
    func whoListensAfterTheLastOneLeftDoesNotGetItsPage() async throws {
        listen()
        let before = try await shared.frames(at: place) { frames() }
        for bell in bells {
            hub.leave(place.key, bell)
            shared.listenerLeft(place.key)
        }
        listen()
        #expect(try await shared.frames(at: place) { frames() } !== before)
    }

    @Test
    func ringsThatNobodyHeardMakeAPageOldToo() async throws {
        listen()
        let before = try await shared.frames(at: place) { frames() }
        // As if another listener came between the leave and what is done after it.
        for bell in bells { hub.leave(place.key, bell) }
        hub.ring(place.key)
        listen()
        #expect(try await shared.frames(at: place) { frames() } !== before)
    }

    @Test
    func aFailureIsNotKept() async throws {
        listen()
        await #expect(throws: Failed.self) { try await shared.frames(at: place) { throw Failed() } }
        #expect(try await shared.frames(at: place) { frames() } != nil)
    }

    @Test
    func aJobThatIsGoneIsGoneForAll() async throws {
        listen()
        #expect(try await shared.frames(at: place) { nil } == nil)
        #expect(try await shared.frames(at: place) { frames() } == nil)
    }
}
