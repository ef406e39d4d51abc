import Glibc

/// Writes whole lines to standard error.
enum StandardError {
    /// One write for one line, so that lines of several threads and processes do not mix. What standard error does not
    /// take is lost: there is nowhere left to say so.
    static func write(_ line: String) {
        var rest = Array((line + "\n").utf8)[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
            if written > 0 {
                rest = rest.dropFirst(written)
            } else if errno != EINTR {
                return
            }
        }
    }
}
