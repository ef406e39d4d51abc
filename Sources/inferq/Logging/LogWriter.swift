import Foundation
import InferqCore
import Synchronization

/// One record of the log, ready to be written.
enum LogRecord: Sendable {
    /// For standard error, without its line end.
    case line(String)
    /// For systemd's journal.
    case entry(JournalEntry)

    /// About what it holds in memory.
    var byteCount: Int {
        switch self {
        case .line(let line): line.utf8.count + 64
        case .entry(let fields): fields.reduce(64) { $0 + $1.name.utf8.count + $1.value.utf8.count + 64 }
        }
    }
}

/// Writes the log in order, on a thread of its own: anyone who logs never waits for anyone who reads the log. A full pipe, a
/// terminal that was stopped or a journal that hangs costs records, which are counted, and holds up nothing else.
///
/// Standard error cannot be made non-blocking instead: other processes share its open file description.
final class LogWriter: Sendable {
    private struct State {
        /// Not taken by the thread yet.
        var records: [LogRecord] = []
        /// Of all records that are not written, the one in the thread's hands included.
        var byteCount = 0
        /// Lost since the last record that told of losses.
        var missed = 0
        /// Nothing is taken until half of the room is free: one gap in the log is better than many.
        var isFull = false
        var hasThread = false
        var isAsleep = false
        var tellOfGap: @Sendable (_ count: Int) -> LogRecord = {
            .line("inferq: \($0) log lines were dropped, since they could not be written in time")
        }
    }

    /// Bytes that may wait: some thousand lines, which is minutes of a gateway in trouble, and little memory.
    private static let roomForBytes = 1 << 20
    /// How long the end of the process waits for the last records: a reader that is there takes them in milliseconds.
    private static let patienceAtEnd: Duration = .seconds(1)

    /// How many records were never written.
    let dropped = Counter()
    private let room: Int
    private let output: @Sendable (LogRecord) -> Bool
    private let state = Mutex(State())
    private let condition = NSCondition()

    /// - Parameter output: Writes one record and may block; returns whether it was taken.
    init(room: Int = roomForBytes, output: @escaping @Sendable (LogRecord) -> Bool = LogWriter.writeOut) {
        self.room = room
        self.output = output
    }

    /// Makes the records that tell how many are missing in their place.
    func tellOfGaps(by record: @escaping @Sendable (_ count: Int) -> LogRecord) {
        state.withLock { $0.tellOfGap = record }
    }

    /// Returns at once.
    func write(_ record: LogRecord) {
        enum Needed { case nothing, thread, call }
        let needed = state.withLock { state -> Needed in
            let hasRoom = state.byteCount == 0 || state.byteCount + record.byteCount <= room
            guard !state.isFull, hasRoom else {
                state.isFull = true
                state.missed += 1
                dropped.add()
                return .nothing
            }
            state.records.append(record)
            state.byteCount += record.byteCount
            defer {
                state.hasThread = true
                state.isAsleep = false
            }
            return !state.hasThread ? .thread : state.isAsleep ? .call : .nothing
        }
        switch needed {
        case .nothing: break
        case .thread: startThread()
        case .call:
            condition.lock()
            condition.signal()
            condition.unlock()
        }
    }

    /// Waits until all is written, but not for long: for the end of the process.
    func flush() {
        let deadline = ContinuousClock.now + Self.patienceAtEnd
        while state.withLock({ $0.byteCount > 0 }), ContinuousClock.now < deadline { usleep(500) }
    }

    // MARK: The thread

    private func startThread() {
        let thread = Thread { self.run() }
        thread.name = "inferq-log"
        thread.start()
    }

    private func run() {
        while true {
            for record in next() { isDone(record, isWritten: output(record)) }
        }
    }

    /// All that waits, as soon as there is something.
    private func next() -> [LogRecord] {
        condition.lock()
        defer { condition.unlock() }
        while true {
            let records = state.withLock { state -> [LogRecord] in
                defer { state.records = [] }
                state.isAsleep = state.records.isEmpty
                return state.records
            }
            if !records.isEmpty { return records }
            // Anyone who finds the thread asleep needs this lock to wake it, so no call is missed.
            condition.wait()
        }
    }

    private func isDone(_ record: LogRecord, isWritten: Bool) {
        state.withLock { state in
            state.byteCount -= record.byteCount
            if !isWritten {
                state.missed += 1
                dropped.add()
            }
            guard state.byteCount <= room / 2 else { return }
            state.isFull = false
            // After a failure there is nowhere to tell of it; the next record that is taken shows that there is again.
            guard state.missed > 0, isWritten else { return }
            let note = state.tellOfGap(state.missed)
            state.missed = 0
            state.records.append(note)
            state.byteCount += note.byteCount
        }
    }

    @Sendable
    static func writeOut(_ record: LogRecord) -> Bool {
        switch record {
        case .line(let line): StandardError.take(line)
        case .entry(let entry): Systemd.send(entry)
        }
    }
}
