import Foundation
import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqRedis
@testable import InferqStore

/// When Redis counts as there and when as away; each with a real one.
@Suite(.timeLimit(.minutes(10)), .enabled(if: RedisServer.program != nil, "there is no redis-server"))
struct RedisLinkTests {
    /// How a link is, one change after another.
    private final class Changes: Sendable {
        private let (changes, continuation) = AsyncStream.makeStream(of: RedisLink.Reachability.self)

        func add(_ reachability: RedisLink.Reachability) {
            continuation.yield(reachability)
        }

        /// Waits until it is there, or is away.
        func next(isUp: Bool) async {
            for await change in changes {
                if case .up = change, isUp { return }
                if case .away = change, !isUp { return }
            }
        }
    }

    private func withLink(
        _ server: RedisServer,
        _ prepare: (inout RedisAddress, inout RedisSettings) -> Void = { _, _ in },
        _ body: (RedisLink, Changes) async throws -> Void
    ) async throws {
        let link = server.link(prepare)
        let changes = Changes()
        link.start(RedisLink.Callbacks(changed: { changes.add($0) }))
        await changes.next(isUp: true)
        try await body(link, changes)
        link.stop()
    }

    @Test
    func commandsAreAnsweredInTheirOrder() async throws {
        try await withLink(try RedisServer()) { link, _ in
            for number in 1...100 { #expect(link.send(RedisCommand("RPUSH", "list", String(number)))) }
            let list = await link.ask(RedisCommand("LRANGE", "list", "0", "-1"))
            #expect(list?.elements.compactMap(\.text) == (1...100).map(String.init))
        }
    }

    @Test
    func bytesComeBackAsTheyWere() async throws {
        try await withLink(try RedisServer()) { link, _ in
            var command = RedisCommand("SET", "key")
            let bytes = (0..<1024).map { UInt8(truncatingIfNeeded: $0) }
            command.add(bytes)
            #expect(await link.ask(command) == .status("OK"))
            #expect(await link.ask(RedisCommand("GET", "key")) == .bytes(bytes))
            #expect(await link.ask(RedisCommand("GET", "none")) == .null)
            #expect(await link.ask(RedisCommand("STRLEN", "key")) == .integer(1024))
        }
    }

    @Test
    func aKilledServerIsAwayAndSaysSoToThoseWhoWait() async throws {
        let server = try RedisServer()
        try await withLink(server) { link, changes in
            server.signal(SIGKILL)
            await changes.next(isUp: false)
            #expect(await link.ask(RedisCommand("PING")) == nil)
            #expect(!link.send(RedisCommand("PING")))
        }
    }

    @Test
    func aFrozenServerIsAwayAndComesBack() async throws {
        let server = try RedisServer()
        try await withLink(server, { _, settings in settings.commandTimeout = .seconds(1) }) { link, changes in
            server.signal(SIGSTOP)
            await changes.next(isUp: false)
            server.signal(SIGCONT)
            await changes.next(isUp: true)
        }
    }

    /// Replies that say that it cannot work now: each ends the session, and none begins while it lasts.
    @Test(arguments: [
        (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]),
        (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]),
        (["CONFIG", "SET", "min-replicas-to-write", "1"], ["CONFIG", "SET", "min-replicas-to-write", "0"]),
    ])
    func aServerThatTakesNoWritesIsAway(_ trouble: [String], _ cure: [String]) async throws {
        let server = try RedisServer()
        try await withLink(server) { link, changes in
            #expect(await link.ask(RedisCommand(trouble)) == .status("OK"))
            link.send(RedisCommand("SET", "key", "value"))
            await changes.next(isUp: false)
            let doctor = try RedisConnection(server.address, server.settings)
            #expect(try doctor.run(RedisCommand(cure)) == .status("OK"))
            await changes.next(isUp: true)
            #expect(await link.ask(RedisCommand("SET", "key", "value")) == .status("OK"))
        }
    }

    @Test
    func aWrongPasswordIsRefusedWithoutBeingNamed() throws {
        let server = try RedisServer(["--requirepass", "right"])
        var address = server.address
        address.password = "wrong-secret"
        while true {
            do throws(RedisError) {
                _ = try RedisConnection(address, server.settings)
                Issue.record("it was let in")
                return
            } catch {
                // Until it listens.
                if case .unreachable = error { continue }
                guard case .refused(let text) = error else {
                    Issue.record("not refused: \(error)")
                    return
                }
                #expect(text.hasPrefix("WRONGPASS"))
                #expect(!"\(error)".contains("wrong-secret"))
                return
            }
        }
    }

    @Test
    func userPasswordAndDatabaseAreUsed() async throws {
        let server = try RedisServer(["--user", "worker", "on", ">secret", "~*", "&*", "+@all"])
        try await withLink(
            server,
            { address, _ in
                address.user = "worker"
                address.password = "secret"
                address.database = 3
            }
        ) { link, _ in
            #expect(await link.ask(RedisCommand("ACL", "WHOAMI"))?.text == "worker")
            let info = await link.ask(RedisCommand("CLIENT", "INFO"))?.text
            #expect(info?.contains(" db=3 ") == true)
        }
    }

    @Test
    func nobodyIsThereWhereNothingListens() {
        let address = RedisAddress(.unix(path: "/nowhere/redis.sock"))
        do throws(RedisError) {
            _ = try RedisConnection(address, RedisSettings())
            Issue.record("connected to nothing")
        } catch {
            guard case .unreachable = error else {
                Issue.record("\(error)")
                return
            }
        }
    }

    @Test
    func aKeyThatOthersHaveSpoiledIsNoOutage() async throws {
        try await withLink(try RedisServer()) { link, _ in
            let session = link.session
            #expect(await link.ask(RedisCommand("SET", "key", "text")) == .status("OK"))
            let reply = await link.ask(RedisCommand("XADD", "key", "*", "a", "b"), blame: .key)
            guard case .error(let text) = reply else {
                Issue.record("not refused: \(String(describing: reply))")
                return
            }
            #expect(text.hasPrefix("WRONGTYPE"))
            #expect(link.session == session)
        }
    }

    @Test
    func aWriteForWhichRoomIsMadeIsMadeAfterAll() async throws {
        let server = try RedisServer()
        let link = server.link()
        let changes = Changes()
        link.start(
            RedisLink.Callbacks(
                changed: { changes.add($0) },
                makeRoom: { link.send(RedisCommand("CONFIG", "SET", "maxmemory", "0")) }
            )
        )
        await changes.next(isUp: true)
        #expect(await link.ask(RedisCommand("CONFIG", "SET", "maxmemory", "1")) == .status("OK"))
        #expect(await link.ask(RedisCommand("SET", "key", "value")) == .status("OK"))
        #expect(link.session == 1)
        link.stop()
    }

    @Test
    func theNewestReasonOfAnOutageIsKnown() async throws {
        let server = try RedisServer()
        try await withLink(server) { link, changes in
            #expect(link.trouble == nil)
            link.send(RedisCommand("CONFIG", "SET", "maxmemory", "1"))
            link.send(RedisCommand("SET", "key", "value"))
            await changes.next(isUp: false)
            #expect(link.trouble?.contains("OOM") == true)
        }
    }

    @Test
    func localhostIsBothOfItsAddresses() throws {
        let found = try NumericAddress.all(of: "localhost")
        #expect(Set(found).isSuperset(of: ["127.0.0.1", "::1"]))
        #expect(try NumericAddress.all(of: "127.0.0.1") == ["127.0.0.1"])
        #expect(try NumericAddress.all(of: "::1") == ["::1"])
    }

    @Test
    func theCheckNamesWhatAUserMayNotDo() throws {
        let server = try RedisServer([
            "--user", "some", "on", ">secret", "resetchannels", "~*", "+@all", "-xpending",
        ])
        var address = server.address
        address.user = "some"
        address.password = "secret"
        var found: RedisCheck.Finding?
        while found == nil {
            do throws(RedisError) {
                found = try RedisCheck.examine(address, server.settings, id: "id")
            } catch {
                guard case .unreachable = error else { throw error }
            }
        }
        #expect(found?.refused.map(\.command) == ["XPENDING", "PUBLISH"])
        #expect(found?.refused.last?.place == "inferq:event:doctor")
        address.user = nil
        address.password = nil
        #expect(try RedisCheck.examine(address, server.settings, id: "id").refused.isEmpty)
        let left = try RedisConnection(address, server.settings).run(RedisCommand("KEYS", "*"))
        #expect(left.elements.compactMap(\.text) == ["inferq:gateway:id:published"] || left.elements.isEmpty)
    }

    @Test
    func aReaderThatIsRefusedEndsTheSession() async throws {
        let server = try RedisServer()
        try await withLink(server) { link, changes in
            link.read("reader", patience: .milliseconds(100)) { connection, _ throws(RedisError) in
                // There is no such group.
                _ = try connection.run(
                    RedisCommand("XREADGROUP", "GROUP", "none", "me", "BLOCK", "100", "STREAMS", "nothing", ">")
                )
                return true
            }
            await changes.next(isUp: false)
        }
    }
}
