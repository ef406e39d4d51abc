import Crypto
import InferqCore
import InferqStore

/// Writes the files that come of a batch, in the order of its input.
struct BatchHarvest {
    private let store: JobStore
    private let batch: Batch
    private(set) var output: ResultFile
    private(set) var errors: ResultFile
    private(set) var usage = BatchUsage()

    /// Jobs that are read at a time.
    private static let page = 64

    init(store: JobStore, batch: Batch) {
        self.store = store
        self.batch = batch
        output = ResultFile(store)
        errors = ResultFile(store)
    }

    /// - Throws: ``StoreError``.
    mutating func gather(_ input: UploadBytes) async throws {
        var reader = LineReader(input)
        var jobs: ArraySlice<Job> = []
        var next = 1
        var areRead = false
        while let line = try await reader.next() {
            try Task.checkCancellation()
            if jobs.isEmpty, !areRead {
                let page = try await store.lines(of: batch.id, from: next, limit: Self.page)
                jobs = page[...]
                areRead = page.count < Self.page
                next = (page.last?.options.batch?.line ?? next) + 1
            }
            while let job = jobs.first, (job.options.batch?.line ?? 0) < line.number { jobs.removeFirst() }
            let job = jobs.first?.options.batch?.line == line.number ? jobs.popFirst() : nil
            guard let result = try await result(of: job, at: line) else { continue }
            let customID = BatchLine.customID(in: line.text) ?? ""
            // A line without a job has a name of its own kind all the same.
            let id = job?.id ?? UUIDv7(high: batch.id.high, low: batch.id.low &+ UInt64(line.number))
            if case .answered(let status, _, let body) = result, job?.status == .completed {
                if (200..<300).contains(status) { usage.add(body) }
                try await output.write(result.line(id, customID: customID))
            } else {
                try await errors.write(result.line(id, customID: customID))
            }
        }
    }

    /// Nil: the line is in neither file.
    private func result(of job: Job?, at line: LineCutter.Line) async throws -> BatchResult? {
        let isExpired = batch.ending == .expired && batch.state != .cancelling
        guard let job else {
            if batch.state == .cancelling { return nil }
            return isExpired ? Self.expired : .unanswered(code: "gone", message: "The line's job was deleted.")
        }
        switch job.status {
        case .completed: return try await answer(of: job, status: job.output?.head?.status ?? 200)
        case .failed:
            guard let error = job.error else { return .unanswered(code: "internal", message: "No cause is known.") }
            if error.code == .httpError, let status = error.status {
                if job.output != nil { return try await answer(of: job, status: status) }
                return .answered(status: status, request: job.id, body: Array((error.body ?? "").utf8))
            }
            if error.code == .expired, isExpired { return Self.expired }
            return .unanswered(code: error.code.rawValue, message: error.message)
        case .cancelled:
            if batch.state == .cancelling { return nil }
            if isExpired, job.attempt == 0 { return Self.expired }
            return .unanswered(code: "cancelled", message: "The line's job was cancelled.")
        case .pending, .running: return .unanswered(code: "internal", message: "The line's job has not ended.")
        }
    }

    private static let expired = BatchResult.unanswered(
        code: "batch_expired", message: "The line had not begun when the batch's window ended.")

    private func answer(of job: Job, status: Int) async throws -> BatchResult {
        do {
            let body = try await job.output.asyncFlatMap { try await store.bytes(of: $0) }
            return .answered(status: status, request: job.id, body: body ?? [])
        } catch StoreError.gone {
            return .unanswered(code: "gone", message: "The line's job was deleted.")
        } catch StoreError.damaged {
            return .unanswered(code: "store_damaged", message: "The answer does not match what was written.")
        }
    }

    typealias File = (JobStore.UploadDraft, BlobName)

    /// The files, on disk; nil: it has no line.
    mutating func finish() async throws -> (output: File?, errors: File?) {
        let name = batch.name
        let written = try await output.finish(name: "\(name)_output.jsonl", batch.terms)
        return (written, try await errors.finish(name: "\(name)_error.jsonl", batch.terms))
    }

    func abandon() async {
        await output.abandon()
        await errors.abandon()
    }
}

/// One of the files that come of a batch, while it is written; there is none as long as it has no line.
struct ResultFile {
    private let store: JobStore
    private var writer: Blobs.Writer?
    private var digest = SHA256()
    private var buffer: [UInt8] = []
    private var byteCount = 0
    private(set) var lines = 0

    private static let pieceLength = 64 << 10

    init(_ store: JobStore) {
        self.store = store
    }

    mutating func write(_ line: [UInt8]) async throws {
        if writer == nil { writer = try await store.blobs.create(.output) }
        lines += 1
        byteCount += line.count
        buffer += line
        if buffer.count >= Self.pieceLength { try await flush() }
    }

    private mutating func flush() async throws {
        digest.update(data: buffer)
        try await writer?.write(buffer)
        buffer.removeAll(keepingCapacity: true)
    }

    /// - Returns: the file, on disk; nil: it has no line.
    mutating func finish(name: String, _ terms: Batch.Terms) async throws -> (JobStore.UploadDraft, BlobName)? {
        guard let writer else { return nil }
        try await flush()
        let blob = try await writer.finish()
        let draft = JobStore.UploadDraft(
            client: terms.client, purpose: .batchOutput, name: name, byteCount: byteCount,
            digest: Array(digest.finalize()), lifetime: terms.outputLifetime)
        return (draft, blob)
    }

    func abandon() async {
        await writer?.abandon()
    }
}
