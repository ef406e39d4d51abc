import Glibc
import InferqCore

/// A standard stream that leads to a terminal on which lines can be redrawn.
struct Terminal: Sendable {
    private let descriptor: CInt
    let isColored: Bool

    /// Nil if the stream leads elsewhere, or to a terminal that calls itself dumb.
    init?(_ descriptor: CInt) {
        guard isatty(descriptor) == 1, Environment["TERM"] != "dumb" else { return nil }
        self.descriptor = descriptor
        isColored = (Environment["NO_COLOR"] ?? "").isEmpty
    }

    /// The width in characters; 80 if the terminal does not say.
    var columns: Int { size.columns ?? 80 }

    private var size: (columns: Int?, rows: Int?) {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 else { return (nil, nil) }
        return (size.ws_col > 0 ? Int(size.ws_col) : nil, size.ws_row > 0 ? Int(size.ws_row) : nil)
    }

    /// Shows these lines from the top of the terminal on and nothing else; those for which there is no room are not shown.
    func draw(_ lines: [String]) {
        let shown = lines.prefix(max(1, (size.rows ?? 24) - 1))
        write("\u{1B}[H" + shown.map { $0 + "\u{1B}[K\n" }.joined() + "\u{1B}[J")
    }

    /// What the terminal does not take is lost: it has gone away.
    func write(_ text: String) {
        _ = writeAll(Array(text.utf8), to: descriptor)
    }

    /// The status in the color of its kind, padded so that columns align.
    func status(_ status: String) -> String {
        let padded = Self.padded(status)
        guard isColored, let color = ["COMPLETED": 32, "ERROR": 31, "CANCELLED": 33][status] else { return padded }
        return "\u{1B}[\(color)m\(padded)\u{1B}[0m"
    }

    /// To the length of the longest status, with control characters escaped.
    static func padded(_ status: String) -> String {
        let shown = status.visible(limit: 20)
        return shown + String(repeating: " ", count: max(0, 9 - shown.count))
    }
}

/// The variables of the environment that client commands ask for.
enum Environment {
    /// Client commands never set a variable, which is what would make getenv(3) unsafe.
    static subscript(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }
}

/// Writes to standard output as things come, without a buffer.
enum StandardOutput {
    /// - Throws: ``ClientError`` if not all of it could be written.
    static func write(_ bytes: [UInt8]) throws(ClientError) {
        guard let code = writeAll(bytes, to: STDOUT_FILENO) else { return }
        if code == EPIPE { throw ClientError(.readerGone, "the reader of the output is gone") }
        throw ClientError(.output, "standard output cannot be written to (\(String(cString: strerror(code))))")
    }

    static func write(line: String) throws(ClientError) {
        try write(Array((line + "\n").utf8))
    }

    static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

    static var isFile: Bool {
        var status = stat()
        return fstat(STDOUT_FILENO, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }
}

/// Nil, or the error's number when the rest could not be written.
private func writeAll(_ bytes: [UInt8], to descriptor: CInt) -> CInt? {
    var rest = bytes[...]
    while !rest.isEmpty {
        let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        if written > 0 {
            rest = rest.dropFirst(written)
        } else if errno == EAGAIN {
            // Another program has made the shared stream non-blocking.
            var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            poll(&waiting, 1, -1)
        } else if errno != EINTR {
            return errno
        }
    }
    return nil
}

extension Timestamp {
    /// `16:31:47` in the zone of the reader.
    var localTime: String {
        var seconds = time_t(milliseconds / 1000)
        var parts = tm()
        localtime_r(&seconds, &parts)
        return [parts.tm_hour, parts.tm_min, parts.tm_sec]
            .map { ($0 < 10 ? "0" : "") + String($0) }
            .joined(separator: ":")
    }
}
