import NIOCore
import NIOEmbedded
import Synchronization
import Testing

@testable import InferqHTTP

struct BodyGathererTests {
    private struct Broken: Error {}

    /// What a body's reader has asked for, in order.
    private final class Demands: Sendable {
        private let changes = Mutex<[BodyDemand.Change]>([])

        func append(_ change: BodyDemand.Change) {
            changes.withLock { $0.append(change) }
        }

        func all(_ loop: NIOAsyncTestingEventLoop) async -> [BodyDemand.Change] {
            await loop.run()
            return changes.withLock { $0 }
        }
    }

    private let loop = NIOAsyncTestingEventLoop()
    private let demands = Demands()
    private var gatherer = BodyGatherer<String>()

    /// Begins a message whose body is handed over as it comes.
    private mutating func begin(_ head: String, _ first: String? = nil) throws -> BodyParts {
        gatherer.head(head)
        if let first { gatherer.body(ByteBuffer(string: first)) }
        let handedOver = gatherer.handOver(on: loop) { [demands] in demands.append($0) }
        let message = try #require(handedOver)
        #expect(message.head == head)
        return message.body
    }

    private static func text(_ body: BodyParts) async throws -> String {
        var text = ""
        for try await bytes in body { text += String(buffer: bytes) }
        return text
    }

    // MARK: Whole

    @Test(arguments: [[], ["one"], ["one ", "two ", "three"]])
    mutating func aMessageThatComesInOneReadIsHandedOverWhole(_ pieces: [String]) {
        gatherer.head("head")
        for piece in pieces { gatherer.body(ByteBuffer(string: piece)) }
        #expect(gatherer.isGathering)
        let message = gatherer.end()
        #expect(message?.head == "head")
        #expect((message?.body).map { String(buffer: $0) } == pieces.joined())
        #expect(!gatherer.isGathering)
    }

    @Test
    mutating func whatBelongsToNoMessageIsLeftOut() {
        gatherer.body(ByteBuffer(string: "stray"))
        #expect(gatherer.end() == nil)
        #expect(gatherer.handOver(on: loop) { _ in } == nil)
    }

    @Test
    mutating func nothingIsGatheredAfterTheClose() {
        gatherer.close(Broken())
        gatherer.head("head")
        #expect(!gatherer.isGathering)
        #expect(gatherer.end() == nil)
    }

    // MARK: As it comes

    @Test
    mutating func aBodyThatTakesLongerIsHandedOverAsItComes() async throws {
        let body = try begin("head", "first ")
        gatherer.body(ByteBuffer(string: "second "))
        gatherer.body(ByteBuffer(string: "third"))
        #expect(gatherer.end() == nil)
        #expect(try await Self.text(body) == "first second third")
    }

    @Test
    mutating func theNextMessageMayComeWhole() async throws {
        let body = try begin("head")
        #expect(gatherer.end() == nil)
        gatherer.head("next")
        #expect(gatherer.end()?.head == "next")
        #expect(try await Self.text(body).isEmpty)
    }

    @Test
    mutating func aBodyThatIsCutOffEndsWithTheError() async throws {
        let body = try begin("head", "first")
        gatherer.close(Broken())
        await #expect(throws: Broken.self) { try await Self.text(body) }
    }

    // MARK: Demand

    @Test
    mutating func nothingIsReadWhileEightPiecesWait() async throws {
        let body = try begin("head")
        for _ in 0..<7 { gatherer.body(ByteBuffer(string: "x")) }
        #expect(gatherer.mayRead() == true)
        gatherer.body(ByteBuffer(string: "x"))
        #expect(gatherer.mayRead() == false)
        #expect(gatherer.isReadHeld)
        let iterator = body.makeAsyncIterator()
        for _ in 0..<7 { _ = try await iterator.next() }
        let changes = await demands.all(loop)
        #expect(changes.map(\.isWanted) == [true])
        for change in changes { #expect(gatherer.demandChanged(change) == false) }
        #expect(gatherer.mayRead() == true)
        #expect(!gatherer.isReadHeld)
    }

    @Test
    mutating func nothingIsReadWhileThereIsNoRoomForTheNextMessage() {
        #expect(gatherer.mayRead(hasRoom: false) == false)
        #expect(gatherer.isReadHeld)
        #expect(gatherer.mayRead(hasRoom: true) == true)
        #expect(!gatherer.isReadHeld)
    }

    @Test
    mutating func theEndOfABodyLetsTheNextMessageCome() throws {
        let body = try begin("head")
        for _ in 0..<8 { gatherer.body(ByteBuffer(string: "x")) }
        #expect(gatherer.end() == nil)
        #expect(gatherer.mayRead() == true)
        withExtendedLifetime(body) {}
    }

    @Test
    mutating func theDemandForAnEarlierBodyDoesNotReleaseTheNextOne() throws {
        let earlier = try begin("head")
        #expect(gatherer.end() == nil)
        let next = try begin("next")
        for _ in 0..<8 { gatherer.body(ByteBuffer(string: "x")) }
        #expect(gatherer.demandChanged(BodyDemand.Change(number: 1, isWanted: true)) == false)
        #expect(gatherer.mayRead() == false)
        #expect(gatherer.demandChanged(BodyDemand.Change(number: 1, isWanted: false)) == false)
        #expect(gatherer.mayRead() == false, "and its reader's end is not the next one's")
        withExtendedLifetime((earlier, next)) {}
    }

    @Test
    mutating func theRestOfABodyThatNobodyTakesIsThrownAway() async throws {
        _ = try begin("head", "first")
        let changes = await demands.all(loop)
        #expect(changes.map(\.isWanted) == [false])
        for change in changes { #expect(gatherer.demandChanged(change) == true) }
        gatherer.body(ByteBuffer(string: "second"))
        #expect(gatherer.mayRead() == true)
        #expect(gatherer.end() == nil)
        gatherer.head("next")
        gatherer.body(ByteBuffer(string: "its own"))
        #expect(gatherer.end().map { String(buffer: $0.body) } == "its own")
    }

    @Test
    mutating func aBodyThatHasEndedIsNotAbandoned() async throws {
        _ = try begin("head", "first")
        #expect(gatherer.end() == nil)
        for change in await demands.all(loop) { #expect(gatherer.demandChanged(change) == false) }
    }
}
