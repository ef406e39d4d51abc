import Foundation
import InferqCore
import InferqQueue
import InferqStore
import Synchronization
import Testing

@testable import inferq

/// What a log was written to: it takes nothing while it is shut, as a pipe that no one reads.
private final class Reader: Sendable {
    private struct State {
        var lines: [String] = []
        var isShut: Bool
        var isBroken = false
    }

    private let state: Mutex<State>
    private let condition = NSCondition()

    init(isShut: Bool = false) {
        state = Mutex(State(isShut: isShut))
    }

    var lines: [String] { state.withLock { $0.lines } }

    func open() {
        condition.lock()
        state.withLock { $0.isShut = false }
        condition.broadcast()
        condition.unlock()
    }

    func setBroken(_ isBroken: Bool) { state.withLock { $0.isBroken = isBroken } }

    func take(_ record: LogRecord) -> Bool {
        condition.lock()
        while state.withLock({ $0.isShut }) { condition.wait() }
        condition.unlock()
        return state.withLock { state in
            guard case .line(let line) = record, !state.isBroken else { return false }
            state.lines.append(line)
            return true
        }
    }
}

@Suite(.timeLimit(.minutes(10)))
struct LogWriterTests {
    /// Room for five lines of one character: each takes 64 bytes beside its text.
    private static let room = 5 * 65

    private func writer(to reader: Reader) -> LogWriter {
        let writer = LogWriter(room: Self.room) { reader.take($0) }
        writer.tellOfGaps { .line("\($0) missing") }
        return writer
    }

    private func finish(_ writer: LogWriter, _ reader: Reader, count: Int) {
        while reader.lines.count < count { writer.flush() }
        writer.flush()
    }

    @Test
    func linesAreWrittenInOrder() {
        let reader = Reader()
        let writer = LogWriter { reader.take($0) }
        for number in 0..<1000 { writer.write(.line("\(number)")) }
        finish(writer, reader, count: 1000)
        #expect(reader.lines == (0..<1000).map(String.init))
        #expect(writer.dropped.value == 0)
    }

    @Test
    func whatFindsNoRoomIsCountedAndToldInItsPlace() {
        let reader = Reader(isShut: true)
        let writer = writer(to: reader)
        for number in 0..<9 { writer.write(.line("\(number)")) }
        #expect(writer.dropped.value == 4, "nobody waited for the reader")
        reader.open()
        finish(writer, reader, count: 6)
        writer.write(.line("a"))
        finish(writer, reader, count: 7)
        #expect(reader.lines == ["0", "1", "2", "3", "4", "4 missing", "a"])
        #expect(writer.dropped.value == 4)
    }

    @Test
    func whatCouldNotBeWrittenIsToldWithTheNextLine() {
        let reader = Reader()
        let writer = writer(to: reader)
        reader.setBroken(true)
        for _ in 0..<3 { writer.write(.line("x")) }
        while writer.dropped.value < 3 { writer.flush() }
        reader.setBroken(false)
        writer.write(.line("a"))
        finish(writer, reader, count: 2)
        #expect(reader.lines == ["a", "3 missing"])
    }

    @Test
    func aLineLargerThanTheRoomIsWrittenWhenNothingElseWaits() {
        let reader = Reader()
        let writer = writer(to: reader)
        let large = String(repeating: "x", count: 10 * Self.room)
        writer.write(.line(large))
        finish(writer, reader, count: 1)
        #expect(reader.lines == [large])
    }

    @Test
    func theEndDoesNotWaitForAReaderThatIsGone() {
        let reader = Reader(isShut: true)
        let writer = writer(to: reader)
        writer.write(.line("a"))
        writer.flush()
        #expect(reader.lines.isEmpty)
        reader.open()
    }
}
