import Foundation
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqQueue
@testable import InferqRedis
@testable import InferqStore

/// Whatever is in Redis is read rightly or not at all: it may be another program's, or another version's.
struct ForeignDataTests {
    private static let job = UUIDv7(key: JobKey(value: 77), tag: 1, random: 2)
    private static let gateway = InstanceID.random().text

    private static let heartbeat = WorkerHeartbeat(
        name: "w", host: "h", slots: ["m": 2], busy: ["m": 1], attempts: [gateway: ["\(job).1"]], interval: 2000,
        beat: 7,
        boot: "b",
        away: [
            "m": WorkerHeartbeat.Away(
                Availability.Summary(
                    state: .loading, since: Timestamp(milliseconds: 5),
                    trouble: Availability.Trouble(text: "it loads", at: Timestamp(milliseconds: 6))
                )
            )
        ]
    )
    private static let gatewayHeartbeat = GatewayHeartbeat(
        url: "http://10.0.0.1:8484", models: ["m"], session: "s", patience: 10_000
    )

    private static let messages: [WorkerMessage] = [
        .take(entry: "1-1", model: "m", isProbe: false), .take(entry: "1-1", model: "m", isProbe: true), .shown,
        .refused(Refusal(.notReady, Failure(.httpError, "it loads", isRetryable: true, status: 503))),
        .refused(
            Refusal(.loading, Failure(.httpError, "it loads", isRetryable: true, body: "x"), retryAfter: .seconds(1))),
        .giveBack(entry: "18446744073709551615-0", model: "m"),
        .answered(Reply.Answer([0, 255], contentType: "application/json", contentEncoding: "gzip")),
        .answered(Reply.Answer([], contentType: nil, contentEncoding: nil)),
        .failed(
            Failure(.httpError, "it failed", isRetryable: true, status: 503, body: "a\nb"), retryAfter: .seconds(3)),
        .failed(Failure(.timeout, "too long", isRetryable: false), retryAfter: nil),
        .answered(
            Reply.Answer([1], contentType: nil, head: AnswerHead(status: 201, headers: [HeaderField("a", "b")]))),
        .failed(
            Failure(.httpError, "404", isRetryable: false, status: 404), retryAfter: nil,
            answer: Reply.Answer([2], contentType: "x/y", head: AnswerHead(status: 404, headers: []))
        ), .interrupted(reason: "it stopped"),
    ]

    /// The entry that a command would make.
    private func entry(_ command: RedisCommand) throws -> StreamEntry {
        var begin = 0
        let arguments = command.ends.map { end in
            defer { begin = end }
            return RedisReply.bytes(Array(command.bytes[begin..<end]))
        }
        let star = try #require(arguments.firstIndex(of: .bytes(Array("*".utf8))))
        return try #require(StreamEntry(.array([.bytes(Array("5-1".utf8)), .array(Array(arguments[(star + 1)...]))])))
    }

    private func changed(_ fields: [String: String]) throws -> StreamEntry {
        try entry(RedisCommand(["XADD", "s", "*"] + fields.flatMap { [$0.key, $0.value] }))
    }

    @Test(arguments: messages)
    func aMessageIsReadAsItWasSent(_ message: WorkerMessage) throws {
        let name = AttemptName(gateway: Self.gateway, job: Self.job, lease: Job.Lease(number: 3))
        let entry = try entry(message.command(RedisKeys(prefix: "p"), name, worker: "w"))
        #expect(WorkerMessage(entry) == message)
        #expect(AttemptName(entry, gateway: Self.gateway) == name)
    }

    @Test(arguments: [GatewayMessage.go, .no, .stop, .done])
    func anAnswerIsReadAsItWasSent(_ message: GatewayMessage) throws {
        let name = AttemptName(gateway: Self.gateway, job: Self.job, lease: Job.Lease(number: 3))
        let read = try #require(
            GatewayMessage.read(try entry(message.command(RedisKeys(prefix: "p"), name, worker: "w"))))
        #expect(read.message == message)
        #expect(read.name == name)
    }

    @Test(arguments: [["word": "dance"], ["gateway": "x"], ["job": "x"], ["lease": "0"]])
    func nonsenseIsNoAnswer(_ change: [String: String]) throws {
        let fields = ["word": "go", "gateway": Self.gateway, "job": "\(Self.job)", "lease": "3"]
        #expect(GatewayMessage.read(try changed(fields)) != nil)
        #expect(GatewayMessage.read(try changed(fields.merging(change) { $1 })) == nil)
    }

    @Test
    func anOfferIsReadAsItWasMade() throws {
        var offer = JobOffer(sampleOf: Offer(model: "m", job: JobKey(value: 5)))
        offer.timeout = .seconds(30)
        offer.call = Call(
            method: "POST", target: "/v1/x?a=1", dialect: .openai, headers: [HeaderField("X-Own", "é")],
            outlivesClient: true
        )
        offer.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        var command = RedisCommand("XADD", "s", "NOMKSTREAM", "*")
        offer.append(to: &command)
        #expect(JobOffer(try entry(command)) == offer)
    }

    @Test(arguments: [
        ["word": "take", "entry": "none", "model": "m"], ["word": "take", "entry": "1", "model": "m"],
        ["word": "take", "entry": "18446744073709551616-0", "model": "m"],
        ["word": "take", "entry": "+1-1", "model": "m"],
        ["word": "take", "entry": "1-1", "model": "a\r\nb"], ["word": "take", "entry": "1-1"],
        ["word": "answered"], ["word": "dance"], [:],
        ["word": "failed", "code": "poisoned", "message": "x"], ["word": "failed", "code": "expired", "message": "x"],
        ["word": "failed", "code": "http_error", "message": "x", "status": "9223372036854775807"],
        ["word": "failed", "code": "timeout", "message": "x", "retry_after_ms": "-1"],
    ])
    func nonsenseIsNoMessage(_ fields: [String: String]) throws {
        #expect(WorkerMessage(try changed(fields)) == nil)
    }

    @Test
    func aPauseOfAThousandYearsIsCut() throws {
        let fields = ["word": "failed", "code": "timeout", "message": "x", "retry_after_ms": String(Int.max)]
        guard case .failed(_, let pause, _) = WorkerMessage(try changed(fields)) else {
            Issue.record("not read")
            return
        }
        #expect(pause == RetryPolicy.longestRetryAfter)
    }

    @Test(arguments: ["0", "-1", "9223372036854775807", "9223372036854775808", "1.5", "", " 1"])
    func anImpossibleLeaseNamesNoAttempt(_ lease: String) throws {
        #expect(AttemptName(try changed(["job": "\(Self.job)", "lease": lease]), gateway: Self.gateway) == nil)
    }

    @Test(arguments: [
        ["attempt": "0"], ["lease": "9223372036854775807"], ["bytes": "-1"], ["bytes": "9223372036854775807"],
        ["body": "{"],
        ["timeout_ms": "9223372036854775807"], ["timeout_ms": "-5"], ["url": "file:///etc/passwd"],
        ["call": "{}"], ["call": #"{"method":"POST","target":"x","dialect":"none","headers":[]}"#],
        ["call": #"{"method":"POST","target":"/","dialect":"none","headers":["a","b\r\nc: d"]}"#],
        ["call": #"{"method":"GET / HTTP/1.1","target":"/","dialect":"none","headers":[]}"#],
        ["url": "http://a b/"], ["token": "a\r\nX: y"], ["model": "a\nb"], ["job": "x"],
    ])
    func nonsenseIsNoOffer(_ change: [String: String]) throws {
        let id = "\(Self.job)"
        let fields = [
            "job": id, "event": id, "model": "m", "attempt": "1", "lease": "1", "url": "http://a", "token": "t",
            "bytes": "2", "body": "{}",
        ]
        #expect(JobOffer(try changed(fields)) != nil)
        #expect(JobOffer(try changed(fields.merging(change) { $1 })) == nil)
    }

    // MARK: Heartbeats

    @Test
    func aHeartbeatIsReadAsItWasWritten() {
        #expect(WorkerHeartbeat(Array(Self.heartbeat.text.utf8)) == Self.heartbeat)
        #expect(GatewayHeartbeat(Array(Self.gatewayHeartbeat.text.utf8)) == Self.gatewayHeartbeat)
    }

    @Test(arguments: [
        #""slots":{"m":9223372036854775807}"#, #""slots":{"m":-1}"#, #""slots":{"m":4097}"#, #""slots":{"m":1.5}"#,
        #""slots":{"a\nb":1}"#, #""busy":{"m":-9223372036854775808}"#, #""interval":0"#, #""beat":-1"#,
        #""name":"\u0007""#,
        #""attempts":{"x":[]}"#, #""slots":[]"#, #""interval":1e99"#,
    ])
    func aHeartbeatThatCannotBeIsNobodys(_ change: String) throws {
        let name = try #require(change.firstMatch(of: /^"(\w+)":/)?.1)
        let text = Self.heartbeat.text
        let members = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        let rest = members.filter { $0.key != name }
        let kept = String(decoding: try JSONSerialization.data(withJSONObject: rest), as: UTF8.self).dropLast()
        #expect(WorkerHeartbeat(Array("\(kept),\(change)}".utf8)) == nil)
    }

    @Test
    func aHeartbeatOfAMillionLevelsIsNobodys() {
        #expect(WorkerHeartbeat([UInt8](repeating: UInt8(ascii: "["), count: 1 << 20)) == nil)
        #expect(GatewayHeartbeat([UInt8](repeating: UInt8(ascii: "{"), count: 1 << 20)) == nil)
    }

    @Test
    func twoHeartbeatsMustFitIntoTheGatewaysPatience() {
        #expect(Self.heartbeat.fits(4000))
        #expect(!Self.heartbeat.fits(3999))
    }

    // MARK: Anything

    private static let pieces: [[UInt8]] =
        [
            "-", "0", "9223372036854775807", "-9223372036854775808", "1e999", "\"", "{", "[", ":", ",", "\u{0}", "\n",
            "é",
        ]
        .map { Array($0.utf8) } + [[0xFF], [0xC0, 0x80]]

    private func mutated(_ bytes: [UInt8], _ numbers: inout SplitMix64) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 0...3, using: &numbers) {
            let start = Int.random(in: 0...bytes.count, using: &numbers)
            let end = min(bytes.count, start + Int.random(in: 0...6, using: &numbers))
            let piece = Self.pieces[Int.random(in: 0..<Self.pieces.count, using: &numbers)]
            bytes.replaceSubrange(start..<end, with: Bool.random(using: &numbers) ? piece : [])
        }
        return bytes
    }

    /// None of the readers traps, and what they let through is what a process of this version can have written.
    @Test
    func nothingThatIsReadTraps() async throws {
        let environment = ProcessInfo.processInfo.environment
        let seconds = environment["INFERQ_FUZZ_SECONDS"].flatMap(Double.init) ?? 60
        var seed = environment["INFERQ_FUZZ_SEED"].flatMap(UInt64.init) ?? .random(in: 0...UInt64.max)
        let end = ContinuousClock.now + .seconds(seconds * 0.1)
        let name = AttemptName(gateway: Self.gateway, job: Self.job, lease: Job.Lease(number: 3))
        var commands = Self.messages.map { $0.command(RedisKeys(prefix: "p"), name, worker: "w") }
        var offer = RedisCommand("XADD", "s", "*")
        JobOffer(sampleOf: Offer(model: "m", job: JobKey(value: 5))).append(to: &offer)
        commands.append(offer)
        repeat {
            for _ in 0..<200 {
                seed &+= 1
                var numbers = SplitMix64(seed: seed)
                if let told = WorkerHeartbeat(mutated(Array(Self.heartbeat.text.utf8), &numbers)) {
                    #expect(told.isPlausible, "INFERQ_FUZZ_SEED=\(seed &- 1)")
                    let free = told.slots.values.reduce(0, +) - told.busy.values.reduce(0, +)
                    #expect(free <= 4096 * told.slots.count, "INFERQ_FUZZ_SEED=\(seed &- 1)")
                    for short in told.attempts.values.joined() { _ = AttemptName(gateway: Self.gateway, short: short) }
                }
                if let told = GatewayHeartbeat(mutated(Array(Self.gatewayHeartbeat.text.utf8), &numbers)) {
                    #expect(told.isPlausible, "INFERQ_FUZZ_SEED=\(seed &- 1)")
                }
                let command = commands[Int.random(in: 0..<commands.count, using: &numbers)]
                var begin = 0
                let words = command.ends.dropFirst(3).map { end in
                    defer { begin = end }
                    return RedisReply.bytes(mutated(Array(command.bytes[begin..<end]), &numbers))
                }
                guard let entry = StreamEntry(.array([.bytes(Array("5-1".utf8)), .array(words)])) else { continue }
                if let read = WorkerMessage(entry), case .take(let id, let model, _) = read {
                    #expect(StreamID(id) != nil && PlainText.isPlain(model), "INFERQ_FUZZ_SEED=\(seed &- 1)")
                }
                if let read = JobOffer(entry) {
                    #expect(read.attempt > 0 && read.lease.number > 0 && read.lease.number < .max)
                    #expect(read.body == nil || read.body?.count == read.byteCount)
                }
                _ = AttemptName(entry, gateway: Self.gateway)
            }
            await Task.yield()
        } while .now < end
    }
}
