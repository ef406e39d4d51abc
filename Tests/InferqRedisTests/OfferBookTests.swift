import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqRedis
@testable import InferqStore

/// How much is offered to a Redis that has little room.
struct OfferBookTests {
    private func offer(_ number: Int64, _ model: String = "m") -> Offer {
        Offer(model: model, job: JobKey(value: number))
    }

    /// A book with so many offers that are in Redis.
    private func book(_ count: Int64, capacity: Int = 100) -> OfferBook {
        var book = OfferBook(capacity: capacity)
        for number in 0..<count {
            book.add(offer(number))
            _ = book.name(offer(number), "\(number)-1")
        }
        return book
    }

    @Test
    func aFullRedisHalvesWhatLiesThereAndTheNewestGoFirst() throws {
        var book = book(8)
        book.add(offer(8))
        let refused = book.refused(offer(8))
        let back = try #require(refused)
        #expect(Set(back.map(\.entry)) == ["7-1", "6-1", "5-1", "4-1"])
        #expect(book.room == 4)
        #expect(!book.admits("m"))
        #expect(!book.has(offer(8)))
    }

    @Test
    func whatWasSentTogetherIsRefusedTogetherAndCountsOnce() {
        var book = book(8)
        for number in Int64(8)..<12 { book.add(offer(number)) }
        let back = (Int64(8)..<12).map { book.refused(offer($0))?.count }
        #expect(back == [4, 0, 0, 0])
        #expect(book.room == 4)
    }

    @Test
    func oneOfferOfEachModelMayAlwaysGoOut() throws {
        var book = book(2)
        _ = book.makeRoom()
        #expect(book.room == 1)
        #expect(!book.admits("m"))
        #expect(book.admits("other"))
    }

    @Test
    func nothingOfOursMeansThatOthersFillIt() {
        var book = OfferBook(capacity: 4)
        book.add(offer(1))
        let back = book.refused(offer(1))
        #expect(back == nil)
        let room = book.makeRoom()
        #expect(room == nil)
    }

    /// Not a loop without end: what was offered again and is refused again is a new refusal.
    @Test
    func whatIsRefusedAgainAfterAllWasTakenBackMeansThatOthersFillIt() {
        var book = book(1)
        for number in Int64(1)..<4 { book.add(offer(number)) }
        let back = (Int64(1)..<4).map { book.refused(offer($0))?.count }
        #expect(back == [1, 0, 0])
        book.add(offer(2))
        let again = book.refused(offer(2))
        #expect(again == nil)
    }

    @Test
    func theRoomIsMadeByTakingBackUntilNothingIsLeft() {
        var book = book(5)
        var rounds = 0
        while let back = book.makeRoom() {
            #expect(!back.isEmpty)
            rounds += 1
        }
        #expect(rounds == 3)
    }

    @Test
    func theRoomGrowsAgainUntilItIsNoBoundAnyMore() {
        var book = book(4, capacity: 6)
        _ = book.makeRoom()
        #expect(book.room == 2)
        for number in Int64(100)..<(100 + 16 * 5) {
            book.add(offer(number))
            _ = book.name(offer(number), "\(number)-1")
            book.remove(offer(number))
        }
        #expect(book.room == nil)
    }

    @Test
    func anOutageForgetsTheOffersAndNotTheRoom() {
        var book = book(8)
        _ = book.makeRoom()
        book.forgetAll()
        #expect(book.room == 4)
        #expect(book.named().isEmpty)
        #expect(book.admits("m"))
    }
}
