/// A batch of the OpenAI API: the lines of a file as jobs, and the files that come of them.
package struct Batch: OpenAIObject, Equatable {
    package static let ids = HexID(prefix: "batch_")
    package static let kind = "batch"

    /// Where a batch is. Stored, so never renumbered.
    package enum State: Int64, Sendable, CaseIterable {
        case validating = 0
        case inProgress = 1
        case finalizing = 2
        case cancelling = 3
        case completed = 4
        case failed = 5
        case expired = 6
        case cancelled = 7

        /// As the API has it.
        package var name: String {
            switch self {
            case .validating: "validating"
            case .inProgress: "in_progress"
            case .finalizing: "finalizing"
            case .cancelling: "cancelling"
            case .completed: "completed"
            case .failed: "failed"
            case .expired: "expired"
            case .cancelled: "cancelled"
            }
        }

        package var isFinal: Bool { rawValue >= Self.completed.rawValue }
    }

    /// What is said when it is made, and never changes.
    package struct Terms: Sendable, Equatable {
        package let client: String
        /// The path that each line is for.
        package let endpoint: String
        package let input: UUIDv7
        /// A JSON object as it came; empty: none.
        package let metadata: [UInt8]
        /// For its lines to begin.
        package let window: Duration
        /// How long its output files are kept; nil: as long as the retention says.
        package let outputLifetime: Duration?

        package init(
            client: String, endpoint: String, input: UUIDv7, metadata: [UInt8], window: Duration,
            outputLifetime: Duration?
        ) {
            self.client = client
            self.endpoint = endpoint
            self.input = input
            self.metadata = metadata
            self.window = window
            self.outputLifetime = outputLifetime
        }
    }

    /// How far the lines of its input have become jobs.
    package struct Progress: Sendable, Equatable {
        /// Lines of the file that were read, blank ones too.
        package var line = 0
        /// Bytes of the file before the next one.
        package var place = 0
        /// Jobs that were made.
        package var jobs = 0

        package init() {}
    }

    package let id: UUIDv7
    package let terms: Terms
    package var client: String { terms.client }
    package let createdAt: Timestamp
    /// When its lines expire that have not begun.
    package let expiry: Job.Expiry

    package var state = State.validating
    /// What it becomes when its files are written.
    package var ending = State.completed
    /// When it got into a state.
    package var times: [State: Timestamp] = [:]
    /// Lines that are not blank.
    package var total = 0
    package var progress = Progress()
    /// Jobs of its lines that have ended; the store counts them.
    package var ended = 0
    package var completed = 0
    package var failed = 0
    package var output: UUIDv7?
    package var errors: UUIDv7?
    /// What is wrong with its input.
    package var problems: [BatchProblem] = []
    /// A JSON object: the sum over its answers; empty: they told of none.
    package var usage: [UInt8] = []

    package init(id: UUIDv7, terms: Terms, createdAt: Timestamp, expiry: Job.Expiry) {
        self.id = id
        self.terms = terms
        self.createdAt = createdAt
        self.expiry = expiry
    }

    package mutating func become(_ state: State, at now: Timestamp) {
        guard state != self.state else { return }
        self.state = state
        times[state] = now
    }
}

/// What is wrong with a line of a batch's input, or with all of it.
package struct BatchProblem: Sendable, Equatable {
    package let code: String
    package let message: String
    /// From 1; nil: all of the file.
    package let line: Int?
    /// The member that is wrong; nil: none alone.
    package let member: String?

    package init(_ code: String, _ message: String, line: Int? = nil, member: String? = nil) {
        self.code = code
        self.message = message
        self.line = line
        self.member = member
    }

    package init?(json: JSONObject) {
        guard let code = json.text("code"), let message = json.text("message") else { return nil }
        self.init(code, message, line: json.integer("line"), member: json.text("param"))
    }

    package func write(to writer: inout JSONWriter) {
        writer.beginObject()
        writer.name("code")
        writer.value(code)
        writer.name("line")
        writer.value(line)
        writer.name("message")
        writer.value(message)
        writer.name("param")
        writer.value(member)
        writer.endObject()
    }
}

/// Which line of which batch a job is.
package struct BatchPlace: Sendable, Equatable {
    package let batch: JobKey
    /// From 1, as the file counts.
    package let line: Int

    package init(batch: JobKey, line: Int) {
        self.batch = batch
        self.line = line
    }
}

// MARK: As the API shows it

extension Batch {
    /// `Batch` of the API.
    package func write(to writer: inout JSONWriter) {
        writer.beginObject()
        writer.name("id")
        writer.value(name)
        writer.name("object")
        writer.value(Self.kind)
        writer.name("endpoint")
        writer.value(terms.endpoint)
        writer.name("errors")
        if problems.isEmpty {
            writer.null()
        } else {
            writer.beginObject()
            writer.name("object")
            writer.value("list")
            writer.name("data")
            writer.beginArray()
            for problem in problems { problem.write(to: &writer) }
            writer.endArray()
            writer.endObject()
        }
        writer.name("input_file_id")
        writer.value(Upload.ids.text(of: terms.input))
        writer.name("completion_window")
        writer.value("24h")
        writer.name("status")
        writer.value(state.name)
        writer.name("output_file_id")
        writer.value(output.map(Upload.ids.text(of:)))
        writer.name("error_file_id")
        writer.value(errors.map(Upload.ids.text(of:)))
        writer.name("created_at")
        writer.value(createdAt.milliseconds / 1000)
        for state in State.allCases where state != .validating {
            writer.name(escaping: "\(state.name)_at")
            writer.value(times[state].map { Int($0.milliseconds / 1000) })
        }
        writer.name("expires_at")
        writer.value(expiry.at.milliseconds / 1000)
        writer.name("request_counts")
        writer.beginObject()
        writer.name("total")
        writer.value(total)
        writer.name("completed")
        writer.value(completed)
        writer.name("failed")
        writer.value(failed)
        writer.endObject()
        writer.name("metadata")
        if terms.metadata.isEmpty { writer.null() } else { writer.raw(terms.metadata) }
        writer.name("usage")
        if usage.isEmpty { writer.null() } else { writer.raw(usage) }
        writer.endObject()
    }
}
