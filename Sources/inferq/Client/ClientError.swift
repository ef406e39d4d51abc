import ArgumentParser

/// Why a client command ends early: one sentence for people, and a cause that gives the exit code.
struct ClientError: Error, Sendable {
    enum Cause: Sendable, Equatable {
        /// What was asked for cannot be done.
        case usage
        /// No connection to the gateway could be made.
        case unreachable
        /// The connection to the gateway broke.
        case broken
        /// What came is not what a gateway sends; asking again would give the same.
        case unreadable
        /// The gateway's answer was an error.
        case refused(status: Int, retryAfter: Duration?)
        /// The job ended in ERROR or was cancelled.
        case jobEnded
        /// A file cannot be made or changed.
        case cannotCreate
        /// This host does not give what the command needs.
        case host
        /// What was to be printed could not be.
        case output
        /// The reader of standard output has stopped reading.
        case readerGone
    }

    let cause: Cause
    /// Without a full stop at its end.
    let sentence: String

    init(_ cause: Cause, _ sentence: String) {
        self.cause = cause
        self.sentence = sentence
    }

    /// By sysexits. An answer that refuses the request for what it is counts as usage, one that refuses it for now as
    /// a gateway that cannot be reached; 1 is left to jobs that ended otherwise than COMPLETED.
    var exitCode: ExitCode {
        switch cause {
        case .usage: ExitCode(64)
        case .unreachable, .broken, .unreadable: ExitCode(69)
        case .refused(let status, _): isTemporary || status >= 500 ? ExitCode(69) : ExitCode(64)
        case .jobEnded: ExitCode(1)
        case .cannotCreate: Exit.cannotCreate
        case .host: Exit.host
        case .output: ExitCode(74)
        // What a shell shows for a program that SIGPIPE ended: 128 and the signal's number.
        case .readerGone: ExitCode(141)
        }
    }

    /// Too few files may be open.
    static var openFiles: ClientError {
        ClientError(
            .host,
            "the limit on open files is too low (\(OpenFiles.limit)); raise it, for example with ulimit -n 256")
    }

    /// Whether the same request may succeed later.
    var isTemporary: Bool {
        switch cause {
        case .unreachable, .broken: true
        case .refused(let status, _): [408, 429, 500, 502, 503, 504, 507].contains(status)
        case .usage, .unreadable, .jobEnded, .cannotCreate, .host, .output, .readerGone: false
        }
    }

    /// The status of the gateway's answer, if it is what went wrong.
    var status: Int? {
        if case .refused(let status, _) = cause { status } else { nil }
    }
}

/// A command that talks to a gateway: its errors become one line on standard error and an exit code.
protocol ClientCommand: AsyncParsableCommand {
    func perform() async throws
}

extension ClientCommand {
    func run() async throws {
        do {
            try await perform()
        } catch let error as ClientError {
            if error.cause != .readerGone { StandardError.write("inferq: \(error.sentence.visible())") }
            throw error.exitCode
        }
    }
}
