import InferqCore
import NIOCore
import Testing

@testable import InferqHTTP
@testable import InferqQueue

/// When and where an answer that comes piece by piece is cut into pieces.
struct PieceCutterTests {
    private static let start = ContinuousClock.now
    private static let flush = Duration.milliseconds(25)

    private static func form(_ type: String, _ dialect: Dialect = .openai) -> StreamForm {
        StreamForm(
            dialect, path: "/v1/chat/completions", StreamHead(contentType: type, contentEncoding: nil, answer: nil))
    }

    /// A cutter with a clock that stands still unless it is moved.
    private struct Bench {
        var cutter: PieceCutter
        var now = PieceCutterTests.start

        init(_ type: String = "text/event-stream", _ dialect: Dialect = .openai, flush: Duration = flush) {
            cutter = PieceCutter(form(type, dialect), flush: flush, epoch: now, now: now)
        }

        mutating func come(_ text: String) {
            _ = cutter.append(ByteBuffer(string: text), now: now)
        }

        mutating func pass(_ milliseconds: Int) {
            now += .milliseconds(milliseconds)
        }

        /// What is committed now.
        mutating func piece() -> String? {
            guard case .commit(let piece) = cutter.next(now: now) else { return nil }
            return String(decoding: piece.bytes, as: UTF8.self)
        }

        /// Milliseconds until it looks again; nil: until more comes.
        mutating func pause() -> Int? {
            guard case .wait(let until?) = cutter.next(now: now) else { return nil }
            return Int((until - now).milliseconds)
        }
    }

    @Test
    func theFirstFrameGoesAtOnceAndLaterOnesAfterAPause() {
        var bench = Bench()
        bench.come("data: {}\n\n")
        #expect(bench.piece() == "data: {}\n\n")
        bench.pass(5)
        bench.come("data: 1\n\n")
        #expect(bench.pause() == 20)
        bench.pass(5)
        bench.come("data: 2\n\n")
        bench.pass(15)
        #expect(bench.piece() == "data: 1\n\ndata: 2\n\n")
        bench.pass(100)
        bench.come("data: 3\n\n")
        #expect(bench.piece() == "data: 3\n\n", "the pause is over")
    }

    @Test
    func aPieceEndsWhereAFrameDoes() {
        var bench = Bench()
        bench.come("data: {}\n\ndata: to")
        #expect(bench.piece() == "data: {}\n\n")
        bench.pass(20)
        bench.come("rn\n\ndata: y")
        bench.pass(5)
        #expect(bench.piece() == "data: torn\n\n")
    }

    @Test
    func aFrameThatStaysTornIsNotHeldBackForEver() {
        var bench = Bench()
        bench.come("data: {}\n\ndata: to")
        #expect(bench.piece() != nil)
        #expect(bench.pause() == 25)
        bench.pass(25)
        #expect(bench.piece() == "data: to")
    }

    @Test
    func anErrorInFrontIsNeverShown() {
        var bench = Bench()
        bench.come("data: {\"err")
        bench.pass(1000)
        #expect(bench.piece() == nil && bench.pause() == nil)
        bench.come("or\":{\"message\":\"no\"}}\n\n")
        #expect(bench.piece() == nil)
        #expect(!bench.cutter.takesMore)
        let end = bench.cutter.end(nil)
        #expect(end.scanner.error == "no")
        #expect(end.stream?.rest?.number == 1, "it is kept all the same")
    }

    @Test
    func commentsInFrontWaitForTheFirstFrame() {
        var bench = Bench()
        bench.come(": ping\n\n")
        #expect(bench.pause() == 10_000)
        bench.pass(500)
        bench.come("data: {}\n\n")
        #expect(bench.piece() == ": ping\n\ndata: {}\n\n")
        var silent = Bench()
        silent.come(": ping\n\n")
        silent.pass(10_000)
        #expect(silent.piece() == ": ping\n\n")
    }

    @Test
    func aCharacterIsNotTornWhereThereAreNoFrames() {
        var bench = Bench("audio/x", .none, flush: .zero)
        bench.pass(100)
        bench.come("aé")
        _ = bench.cutter.append(ByteBuffer(bytes: [0xF0, 0x9F, 0x98]), now: bench.now)
        #expect(bench.piece() == "aé")
    }

    @Test
    func anyOtherTypeIsAStreamOnlyAfterAWhile() {
        var bench = Bench("application/json", .none)
        bench.come("[1")
        #expect(bench.pause() == 100)
        bench.pass(99)
        #expect(bench.piece() == nil)
        bench.pass(1)
        #expect(bench.piece() == "[1")
        var other = Bench("application/json", .none)
        other.come("[1]")
        other.cutter.isAtEnd = true
        #expect(other.piece() == nil)
        let end = other.cutter.end(nil)
        #expect(end.stream == nil && end.bytes == Array("[1]".utf8), "it came whole")
    }

    @Test
    func theEndGoesWithTheOutcome() {
        var bench = Bench()
        bench.come("data: {}\n\n")
        #expect(bench.piece() != nil)
        bench.come("data: [DONE]\n\n")
        bench.cutter.isAtEnd = true
        #expect(bench.piece() == nil)
        let end = bench.cutter.end(nil)
        #expect(end.stream?.rest == Piece(number: 2, start: 10, bytes: Array("data: [DONE]\n\n".utf8), head: nil))
        #expect(end.stream?.byteCount == 24 && end.scanner.hasEndMark)
    }

    /// However the bytes come, the pieces are they, in order, none too large.
    @Test(arguments: [1, 7, 1000, 8192, 100_000, 1_000_000])
    func noByteIsLostOrMoved(_ size: Int) {
        for type in ["text/event-stream", "application/x-ndjson", "audio/x"] {
            var bench = Bench(type)
            let frame = "data: \(String(repeating: "é", count: 700))\n\n"
            let count = size < 1000 ? 5 : 300
            let whole = Array(String(repeating: frame, count: count).utf8)
            var pieces: [Piece] = []
            func take(_ bench: inout Bench) {
                while case .commit(let piece) = bench.cutter.next(now: bench.now) { pieces.append(piece) }
            }
            for begin in stride(from: 0, to: whole.count, by: size) {
                let part = whole[begin..<min(begin + size, whole.count)]
                _ = bench.cutter.append(ByteBuffer(bytes: part), now: bench.now)
                bench.pass(3)
                take(&bench)
            }
            bench.cutter.isAtEnd = true
            take(&bench)
            let end = bench.cutter.end(nil)
            // One of another type that came at once is none.
            guard end.stream != nil else {
                let isWhole = end.bytes == whole
                #expect(isWhole && pieces.isEmpty && type == "audio/x")
                continue
            }
            if let rest = end.stream?.rest { pieces.append(rest) }
            // Not within the expectation: to tell how large arrays differ takes forever.
            let isWhole = pieces.flatMap(\.bytes) == whole
            #expect(isWhole)
            #expect(pieces.map(\.number) == Array(1...pieces.count))
            #expect(pieces.allSatisfy { $0.bytes.count <= Piece.limit })
            var start = 0
            for piece in pieces {
                #expect(piece.start == start)
                start += piece.bytes.count
            }
            #expect(pieces.allSatisfy { String(validating: $0.bytes, as: UTF8.self) != nil })
        }
    }
}
