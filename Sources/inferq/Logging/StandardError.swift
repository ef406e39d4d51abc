import Glibc

/// Writes whole lines to standard error, and waits until they are taken. What runs for long logs through ``LogWriter``.
enum StandardError {
    /// What standard error does not take is lost: there is nowhere left to say so.
    static func write(_ line: String) {
        _ = take(line)
    }

    /// One write for one line, so that lines of several threads and processes do not mix.
    ///
    /// - Returns: whether all of it was taken.
    static func take(_ line: String) -> Bool {
        var rest = Array((line + "\n").utf8)[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
            if written > 0 {
                rest = rest.dropFirst(written)
            } else if errno == EAGAIN {
                // Another program has made the shared stream non-blocking.
                var waiting = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
                poll(&waiting, 1, -1)
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }
}
