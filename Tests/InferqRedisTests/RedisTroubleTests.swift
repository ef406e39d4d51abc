import Testing

@testable import InferqRedis

/// Which reasons of an outage the log gives.
struct RedisTroubleTests {
    private func said(_ errors: [RedisError]) -> [RedisTrouble.News] {
        var trouble = RedisTrouble()
        return errors.compactMap { trouble.met($0) }
    }

    private let broken = RedisError.broken("Server closed the connection")
    private let password = RedisError.refused("NOAUTH Authentication required.")

    @Test
    func theFirstReasonIsTold() {
        #expect(said([broken, broken]) == [.began(broken)])
    }

    @Test
    func anErrorReplyThatStaysIsToldOnce() {
        #expect(
            said([broken, .unreachable("no"), password, password, password]) == [.began(broken), .changed(password)])
    }

    @Test
    func whatPassesIsNotTold() {
        let loading = RedisError.refused("LOADING Redis is loading the dataset in memory")
        #expect(said([broken, loading, loading, password, broken]) == [.began(broken)])
    }

    @Test
    func theNewestReasonIsKeptAndEndsWithTheOutage() {
        var trouble = RedisTrouble()
        #expect(trouble.ended() == nil)
        _ = trouble.met(broken)
        _ = trouble.met(password)
        #expect(trouble.newest == password)
        #expect(trouble.ended() == .over)
        #expect(trouble.newest == nil)
    }

    @Test
    func aLongReplyIsCutAndKeptOnOneLine() {
        let text = RedisError.refused("ERR a\r\n" + String(repeating: "b", count: 1000)).description
        #expect(text.count < 250)
        #expect(!text.contains { $0.isNewline })
    }
}
