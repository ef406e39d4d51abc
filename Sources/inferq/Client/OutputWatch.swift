import Glibc
import InferqCore

/// Follows a job to its end: its answer goes to standard output, as it comes where it is text; what becomes of the job
/// goes to standard error.
final class OutputWatch {
    /// How an event is told on standard error.
    private enum Report {
        case lines
        case progress(ProgressLine)
    }

    private let watch: JobWatch
    private let printer: OutputPrinter
    private let report: Report
    private var jobID: String?
    /// The newest attempt that is known, and the type of its answer.
    private var newest: (attempt: Int, type: AnswerType)?
    /// The attempt whose answer comes.
    private var attempt: Int?
    /// Bytes of its answer that have come.
    private var received = 0
    /// What was told since the last byte: why an attempt is repeated.
    private var trouble: String?

    private init(_ watch: JobWatch, _ form: OutputPrinter.Form, _ report: Report) {
        self.watch = watch
        printer = OutputPrinter(form)
        self.report = report
    }

    /// - Throws: ``ClientError``, with the cause `jobEnded` if the job did not complete.
    static func follow(_ watch: JobWatch, _ form: OutputPrinter.Form) async throws {
        guard let terminal = Terminal(STDERR_FILENO) else {
            return try await OutputWatch(watch, form, .lines).follow()
        }
        let line = ProgressLine(on: terminal)
        defer { line.finish() }
        // Cancelled and awaited when this function returns.
        async let _ = line.run()
        try await OutputWatch(watch, form, .progress(line)).follow()
    }

    private func follow() async throws {
        let last = try await watch.follow(hear(_:), complain: complain(_:))
        if case .progress(let line) = report { line.finish() }
        let job = jobID ?? watch.eventID
        switch last.status {
        case "COMPLETED":
            if let attempt = last.attempt, printer.attempt != attempt {
                try await printWhole(job, attempt)
            } else {
                try printer.end()
            }
        case "CANCELLED":
            try printer.end()
            throw ClientError(.jobEnded, "job \(job) was cancelled")
        default:
            try printer.end()
            throw ClientError(.jobEnded, "job \(job) failed (\(last.error ?? "no reason is known"))")
        }
    }

    // MARK: While it comes

    private func hear(_ event: WatchedEvent) async throws {
        if let id = event.jobID { jobID = id }
        guard let piece = event.piece else { return try tell(event) }
        if piece.attempt != attempt {
            guard let jobID else { throw ClientError.gap }
            if piece.attempt > newest?.attempt ?? 0 { newest = try await head(of: jobID) }
            // The answer to an attempt that has been repeated meanwhile is of no use any more.
            guard let newest, newest.attempt == piece.attempt else { return }
            attempt = piece.attempt
            received = 0
            if printer.printsAsItComes(newest.type) { try begin(piece.attempt, newest.type) }
        }
        guard piece.start == received else { throw ClientError.gap }
        received = piece.end
        guard printer.attempt == piece.attempt else { return }
        hideProgress()
        trouble = nil
        try printer.take(piece.bytes)
    }

    /// Of the newest attempt's answer.
    private func head(of job: String) async throws -> (attempt: Int, type: AnswerType) {
        let answer = try await watch.client.patiently(complain: complain(_:)) {
            try await watch.client.head("/v1/inference/\(job)/output?offset=-1")
        }
        guard let attempt = answer.headers.first(name: "X-Attempt").flatMap({ Int($0) }) else {
            let sentence = "what answers at \(watch.client.address) does not say which attempt its output is from"
            throw ClientError(.unreadable, sentence + "; name another with --url")
        }
        return (attempt, answer.type)
    }

    private func begin(_ attempt: Int, _ type: AnswerType) throws {
        if printer.byteCount > 0 {
            let place = printer.form == .raw ? ", at byte \(printer.byteCount) of what was printed" : ""
            // A progress line that has been told of it is gone.
            var reason = ""
            if case .progress = report, let trouble { reason = trouble + "; " }
            try tell("\(reason)attempt \(attempt) starts from the beginning\(place)")
        }
        trouble = nil
        try printer.begin(attempt, type)
    }

    // MARK: At the end

    private func printWhole(_ job: String, _ attempt: Int) async throws {
        let path = "/v1/inference/\(job)/output"
        let answer = try await watch.client.patiently(complain: complain(_:)) { try await watch.client.get(path) }
        if printer.isForScreen, let obstacle = answer.type.obstacle {
            return try tell("\(obstacle); write it to a file with: inferq jobs output \(job) >FILE")
        }
        try begin(attempt, answer.type)
        var count = 0
        do {
            try await watch.client.read(answer) { bytes in
                count += bytes.count
                try printer.take(bytes)
                return true
            }
        } catch let error as ClientError where error.cause == .broken {
            let place = watch.client.address.url(path)
            throw ClientError(.broken, "the output was cut off after \(count) bytes; read it again at \(place)")
        }
        try printer.end()
    }

    // MARK: On standard error

    private func tell(_ event: WatchedEvent) throws {
        let isProgress = event.detailType == "Inf:Task:Notify"
        if !isProgress { trouble = trouble ?? event.text }
        switch report {
        case .progress(let line):
            line.show(event)
            if !isProgress, !event.isLast { try reveal(line) }
        case .lines:
            try printer.breakScreenLine()
            StandardError.write("\(Timestamp.now.rfc3339) \(Terminal.padded(event.status)) \(event.text)")
        }
    }

    /// A line that stays.
    private func tell(_ sentence: String) throws {
        try printer.breakScreenLine()
        let text = "inferq: \(sentence.visible())"
        switch report {
        case .progress(let line): line.write(above: text)
        case .lines: StandardError.write(text)
        }
    }

    private func complain(_ complaint: String) {
        // A standard output that takes nothing any more is found out by the next text.
        try? printer.breakScreenLine()
        switch report {
        case .progress(let line):
            line.show(note: complaint)
            line.reveal()
        case .lines: StandardError.write("inferq: \(complaint.visible())")
        }
    }

    private func reveal(_ line: ProgressLine) throws {
        try printer.breakScreenLine()
        line.reveal()
    }

    /// Text that comes would run into the line, on the terminal itself or behind a pipe.
    private func hideProgress() {
        if case .progress(let line) = report, !StandardOutput.isFile { line.hide() }
    }
}

extension ClientError {
    fileprivate static let gap = ClientError(.unreadable, "the gateway left out a part of the output")
}
