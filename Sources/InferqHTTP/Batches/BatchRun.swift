import InferqCore
import InferqQueue
import InferqStore
import Logging

/// One batch, from where the store has it to its end: its lines are checked, become jobs some at a time, and their
/// answers are gathered. Whatever breaks it off, the next run goes on from what is in the store.
struct BatchRun: Sendable {
    let gateway: Gateway
    let id: UUIDv7
    let logger: Logger
    private let throttle = LogThrottle()

    init(gateway: Gateway, id: UUIDv7, logger: Logger) {
        self.gateway = gateway
        self.id = id
        self.logger = logger
    }

    /// Before it is tried again what has failed: the store, the disk.
    static let pauseAfterFailure = Duration.seconds(5)
    /// Before the next lines are offered to a queue that was full.
    private static let pauseWhenFull = Duration.seconds(1)
    /// Past the end of the batch's time, for the batch to end its lines before their own does.
    private static let slack = Duration.seconds(60)
    /// Lines that become jobs in one transaction.
    private static let step = 256
    /// Bytes of them, as far as they are in rows.
    private static let stepBytes = 1 << 20
    /// Jobs of a batch that have not ended, so that it neither fills the queue nor waits for its own next lines.
    private static let openLimit = 2 * step

    private var store: JobStore { gateway.store }

    func run() async {
        let open = gateway.batchArrivals.metrics
        guard open.begin(id) else { return }
        defer { open.leave(id) }
        let bell = Bell()
        gateway.queue.batches.listen(to: id.key, bell)
        defer { gateway.queue.batches.leave(id.key) }
        while !Task.isCancelled {
            do {
                return try await advance(bell)
            } catch StoreError.closed {
                return
            } catch _ where Task.isCancelled {
                return
            } catch StoreError.damaged(let reason) {
                // No time mends it. What its lines have answered stays with their jobs.
                logger.error(
                    "a batch cannot continue: a part of the store is damaged",
                    metadata: metadata(["reason": "\(reason)"]))
                try? await giveUp(BatchProblem("store_damaged", "The input file does not match what was written."))
                return
            } catch {
                throttle.log(
                    logger, .warning, "a batch cannot continue now", metadata: metadata(["error": "\(error)"]))
                await wait(bell, Self.pauseAfterFailure)
            }
        }
    }

    private func metadata(_ more: Logger.Metadata) -> Logger.Metadata {
        more.merging(["batch_id": "\(Batch.ids.text(of: id))"]) { $1 }
    }

    private func wait(_ bell: Bell, _ duration: Duration) async {
        _ = await gateway.wheel.wait(at: bell, atMost: duration)
    }

    /// - Throws: ``StoreError``.
    private func advance(_ bell: Bell) async throws {
        guard var batch = try await store.batch(id, of: nil), !batch.state.isFinal else { return }
        guard let upload = try await store.upload(batch.terms.input, of: nil) else {
            return try await giveUp(BatchProblem("file_missing", "The input file no longer exists."))
        }
        let input = try await store.bytes(of: upload)
        if batch.state == .validating {
            let validator = BatchValidator(gateway: gateway, terms: batch.terms)
            let (total, problems) = try await validator.check(input)
            guard problems.isEmpty else { return try await fail(problems, total: total) }
            let begun = try await store.change(id) { batch, now in
                guard batch.state == .validating else { return false }
                batch.total = total
                batch.become(.inProgress, at: now)
                return true
            }
            if begun != nil { logger.info("batch started", metadata: metadata(["lines": "\(total)"])) }
        }
        while !Task.isCancelled {
            guard let current = try await store.batch(id, of: nil), !current.state.isFinal else { return }
            batch = current
            switch batch.state {
            case .inProgress: try await makeLines(batch, input, bell)
            case .cancelling, .finalizing:
                guard try await areOver(batch) else {
                    await wait(bell, .seconds(30))
                    continue
                }
                return try await finish(batch, input)
            default: return
            }
        }
    }

    /// Ends a batch whose input cannot be read.
    private func giveUp(_ problem: BatchProblem) async throws {
        let failed = try await store.end(id, output: nil, errors: nil) { batch, now in
            batch.problems = [problem]
            batch.become(batch.state == .cancelling ? .cancelled : .failed, at: now)
        }
        if let failed { gateway.batchArrivals.metrics.ended(failed) }
        try await Self.cancelPending(of: id, store)
    }

    private func fail(_ problems: [BatchProblem], total: Int) async throws {
        let failed = try await store.end(id, output: nil, errors: nil) { batch, now in
            // A cancel may have come first.
            guard batch.state == .validating else { return batch.become(.cancelled, at: now) }
            batch.problems = problems
            batch.total = total
            batch.become(.failed, at: now)
        }
        guard let failed else { return }
        gateway.batchArrivals.metrics.ended(failed)
        let line = problems.first?.line.map { "line \($0): " } ?? ""
        logger.info("batch refused", metadata: metadata(["problem": "\(line)\(problems.first?.message ?? "")"]))
    }

    // MARK: Lines

    /// Makes the next lines jobs, or waits until something has changed.
    private func makeLines(_ batch: Batch, _ input: UploadBytes, _ bell: Bell) async throws {
        let left = batch.expiry.elapsed - store.clock.now.elapsed
        guard left > .zero else { return try await become(.finalizing, endingAs: .expired) }
        let open = batch.progress.jobs - batch.ended
        guard batch.progress.place < input.count else {
            if open == 0 { return try await become(.finalizing, endingAs: .completed) }
            return await wait(bell, min(left, .seconds(30)))
        }
        guard let caller = gateway.access.batchCaller(batch.terms.client) else {
            logger.notice("a batch is cancelled: its client is no longer known", metadata: metadata([:]))
            return try await become(.cancelling, endingAs: .cancelled)
        }
        let limit = openLimit(caller)
        let room = limit - open
        // Some at a time.
        guard room > 0, room >= limit / 2 else { return await wait(bell, min(left, .seconds(30))) }
        var count = min(Self.step, room)
        while try await !makeStep(batch, input, count, caller, left) {
            // There may be room for fewer.
            count /= 2
            if count == 0 { return await wait(bell, min(left, Self.pauseWhenFull)) }
        }
    }

    private func become(_ state: Batch.State, endingAs ending: Batch.State) async throws {
        _ = try await store.change(id) { batch, now in
            guard batch.state == .inProgress else { return false }
            batch.ending = ending
            batch.become(state, at: now)
            return true
        }
    }

    /// Jobs that the batch may have open: all batches together leave most of a queue to others, and half of what a client
    /// may have pending to the rest of what it does.
    private func openLimit(_ caller: Caller) -> Int {
        let queues = gateway.queue.models.map(\.queueLimit).min() ?? Self.openLimit
        let ofClient = caller.limits.maxPending > 0 ? caller.limits.maxPending / 2 : Self.openLimit
        let share = min(queues / 4, ofClient) / max(1, gateway.batchArrivals.metrics.openCount)
        return max(1, min(Self.openLimit, share))
    }

    /// - Parameters:
    ///   - count: lines at most.
    ///   - left: of the batch's time.
    /// - Returns: false when there is no room for them now.
    private func makeStep(
        _ batch: Batch, _ input: UploadBytes, _ count: Int, _ caller: Caller, _ left: Duration
    ) async throws -> Bool {
        var (lines, progress) = try await nextLines(batch.progress, input, count)
        var submissions: [Submission] = []
        var files: [BlobName] = []
        do {
            let table = gateway.callTable.current
            let found = try table.find(.post, batch.terms.endpoint, query: nil)
            for line in lines {
                guard let found else { throw APIError.noSuchPath(batch.terms.endpoint) }
                let request = try BatchLine(line.text, line: line.number, endpoint: batch.terms.endpoint)
                let model = try found.model(named: request.model)
                let input = try await Payload.json(request.body, contentType: "application/json", store.blobs)
                if case .file(let name) = input.content { files.append(name) }
                var submission = Submission(model: model.name, options: Submission.Options(), input: input)
                submission.caller = caller
                try caller.checkMaySubmit(to: model.name, priority: gateway.settings.current.batch.priority)
                // The batch ends them itself, all at once; the model's own time for jobs is not theirs.
                submission.options.expiresIn = left + Self.slack
                submission.options.kept.priority = gateway.settings.current.batch.priority
                submission.options.kept.batch = BatchPlace(batch: id.key, line: line.number)
                submission.options.kept.traceparent = TraceContext.child(of: nil)
                submission.options.kept.call = Call(
                    method: "POST", target: batch.terms.endpoint, dialect: model.dialect, headers: [],
                    outlivesClient: true)
                submissions.append(submission)
            }
            progress.jobs += submissions.count
            lines = []
            if try await gateway.queue.submit(submissions, of: id, after: batch.progress, progress) { return true }
        } catch {
            for file in files { await store.blobs.remove(file) }
            guard error is APIError || error is JobQueue.Refusal || error is BatchProblem else { throw error }
            // A full queue, or a model that is not configured now: it may be again.
            logger.debug("a batch waits", metadata: metadata(["reason": "\(error)"]))
            return false
        }
        for file in files { await store.blobs.remove(file) }
        return true
    }

    private func nextLines(
        _ progress: Batch.Progress, _ input: UploadBytes, _ count: Int
    ) async throws -> ([LineCutter.Line], Batch.Progress) {
        var progress = progress
        var lines: [LineCutter.Line] = []
        var reader = LineReader(input, after: progress.line, place: progress.place)
        var size = 0
        while lines.count < count, size < Self.stepBytes {
            guard let line = try await reader.next() else {
                progress.place = input.count
                break
            }
            lines.append(line)
            size += min(line.text.count, Payload.inlineLimit)
            progress.line = line.number
            progress.place = line.end
        }
        return (lines, progress)
    }

    // MARK: The end

    /// Whether nothing of the batch runs any more; what has not begun is cancelled first, unless it is to be done.
    private func areOver(_ batch: Batch) async throws -> Bool {
        if batch.ending != .completed || batch.state == .cancelling {
            try await Self.cancelPending(of: id, store)
        }
        guard let current = try await store.batch(id, of: nil) else { return true }
        return current.ended >= current.progress.jobs
    }

    /// Cancels all lines that are jobs and have not begun.
    static func cancelPending(of batch: UUIDv7, _ store: JobStore) async throws {
        while try await store.cancelPendingLines(of: batch, limit: step) == step {}
    }

    private func finish(_ batch: Batch, _ input: UploadBytes) async throws {
        var harvest = BatchHarvest(store: store, batch: batch)
        do {
            try await harvest.gather(input)
            let (output, errors) = try await harvest.finish()
            let (completed, failed) = (harvest.output.lines, harvest.errors.lines)
            let usage = harvest.usage.json
            let ended = try await store.end(id, output: output, errors: errors) { batch, now in
                batch.completed = completed
                batch.failed = failed
                batch.usage = usage
                batch.become(batch.state == .cancelling ? .cancelled : batch.ending, at: now)
            }
            guard let ended else { return await harvest.abandon() }
            gateway.batchArrivals.metrics.ended(ended)
            logger.info(
                "batch ended",
                metadata: metadata([
                    "status": "\(ended.state.name)", "completed": "\(completed)", "failed": "\(failed)",
                ]))
        } catch {
            await harvest.abandon()
            throw error
        }
    }
}
