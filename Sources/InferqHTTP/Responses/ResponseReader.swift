import InferqCore
import InferqQueue
import InferqStore

/// Reads the events of a response in the background out of the store, from the first one on: a cursor, like any listener.
struct ResponseReader: Sendable {
    /// What there was to read.
    struct Step: Sendable {
        var frames: [ResponseEvents.Frame]
        /// There may be more at once.
        var hasMore = false
        /// The job has ended, and these were the last ones.
        var isEnd = false
    }

    private let gateway: Gateway
    private let id: UUIDv7
    private var events: ResponseEvents
    private var cursor: StreamCursor
    private var hasBegun = false
    private var isRunning = false

    /// Bytes that are read at a time.
    private static let pageLimit = 64 << 10

    init(_ gateway: Gateway, _ job: Job, _ facts: ResponseFacts) {
        self.gateway = gateway
        id = job.id
        events = ResponseEvents(facts)
        cursor = StreamCursor(PieceRun(job: job.key, attempt: 1), byte: 0)
    }

    /// - Throws: ``StoreError``; ``StoreError/gone`` when the job was removed meanwhile.
    mutating func next() async throws -> Step {
        guard hasBegun else {
            hasBegun = true
            return Step(frames: events.begin(), hasMore: true)
        }
        guard let page = try await gateway.store.page(at: cursor, byteLimit: Self.pageLimit) else {
            throw StoreError.gone
        }
        cursor = page.next
        var step = Step(frames: events.read(page.bytes), hasMore: page.isCut)
        if page.isCut { return step }
        isRunning = page.status == .running
        let attempt = cursor.run.attempt
        if page.attempt > attempt {
            step.frames += events.endAttempt()
            cursor = StreamCursor(PieceRun(job: cursor.run.job, attempt: attempt + 1), byte: 0)
            step.hasMore = true
        } else if page.status.isFinal {
            step.frames += events.end(try await end(hasStreamed: page.outputAttempt == attempt))
            step.isEnd = true
        } else if page.status == .pending, page.attempt == attempt {
            // What was open stays so; the next attempt has items of its own.
            step.frames += events.endAttempt()
        }
        return step
    }

    /// How the events end when the response was deleted meanwhile.
    mutating func deleted() -> Step {
        Step(frames: events.end(.cancelled), isEnd: true)
    }

    /// The response as it is now.
    mutating func current() async throws -> [UInt8] {
        while true {
            let step = try await next()
            if step.isEnd { break }
            if !step.hasMore { return events.response(isRunning: isRunning) }
        }
        return events.ended
    }

    private func end(hasStreamed: Bool) async throws -> ResponseEvents.End {
        guard let job = try await gateway.store.job(id) else { throw StoreError.gone }
        switch job.status {
        case .completed:
            if hasStreamed { return .completed }
            let output = try await job.output.asyncFlatMap { try await gateway.store.bytes(of: $0) }
            return .answered(output ?? [])
        case .cancelled: return .cancelled
        case .failed, .pending, .running:
            return .failed(message: Self.message(job.error))
        }
    }

    /// One sentence, and the model server's own words where it has answered with an error.
    private static func message(_ error: Failure?) -> String {
        guard let error else { return "no cause is known" }
        let said = error.body.flatMap { JSONObject(Array($0.utf8)) }
        let words = said?.object("error")?.text("message") ?? said?.text("error") ?? said?.text("detail")
        return words.map { "\(error.message): \($0)" } ?? error.message
    }
}
