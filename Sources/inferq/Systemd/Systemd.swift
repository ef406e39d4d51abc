import CSystemd
import Glibc
import InferqHTTP

/// Everything that is said to and heard from systemd.
enum Systemd {
    /// Listening sockets that systemd has opened for this process, each with the name of its unit.
    static func inheritedSockets() -> [(descriptor: CInt, name: String)] {
        var names: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
        // 1: the variables are taken out of the environment, so that no child believes the sockets to be its own.
        let count = sd_listen_fds_with_names(1, &names)
        guard count > 0 else { return [] }
        defer { free(names) }
        return (0..<Int(count)).map { index in
            let name = names?[index]
            defer { free(name) }
            return (SD_LISTEN_FDS_START + CInt(index), name.map { String(cString: $0) } ?? "unknown")
        }
    }

    /// The sockets as endpoints, in an order of our own: model servers are told of the first that speaks TCP.
    ///
    /// What is not a listening stream socket is told to `complain` and left alone.
    static func endpoints(complain: (String) -> Void) -> [Endpoint] {
        let known = ["inferq.socket", "inferq-ipv6.socket", "inferq-local.socket"]
        let sockets = inheritedSockets().filter { socket in
            let isListening = sd_is_socket(socket.descriptor, AF_UNSPEC, CInt(SOCK_STREAM.rawValue), 1) > 0
            if !isListening {
                complain("inferq: \(socket.name) from systemd is not a listening stream socket: not used")
            }
            return isListening
        }
        let rank = { (name: String) in known.firstIndex(of: name) ?? known.count }
        return sockets.sorted { (rank($0.name), $0.descriptor) < (rank($1.name), $1.descriptor) }
            .map { Endpoint(.inherited(descriptor: $0.descriptor), role(ofSocket: $0.name)) }
    }

    /// By the name that the unit gives it (FileDescriptorName=).
    private static func role(ofSocket name: String) -> Endpoint.Role {
        switch name {
        case "tls": .tls
        case "admin": .admin
        default: .plain
        }
    }

    /// Whether somebody listens to what ``notify(_:)`` tells.
    static var hasManager: Bool { getenv("NOTIFY_SOCKET") != nil }

    /// How long this process may be silent; nil when no one watches it.
    static var watchdogLimit: Duration? {
        var microseconds: UInt64 = 0
        guard sd_watchdog_enabled(0, &microseconds) > 0 else { return nil }
        return .microseconds(Int64(clamping: microseconds))
    }

    /// What a reload begins with; READY=1 ends it. The time tells systemd which reload this one answers.
    static func reloading() -> String {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return "RELOADING=1\nMONOTONIC_USEC=\(Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000)"
    }

    /// Asks for more time than the unit's time limit of a start or a stop.
    static func extending(by duration: Duration) -> String {
        "EXTEND_TIMEOUT_USEC=\(Int64(duration / .microseconds(1)))"
    }

    /// Tells the service manager, if there is one: `READY=1`, `STATUS=...`.
    static func notify(_ state: String) {
        _ = sd_notify(0, state)
    }

    /// Sends one entry to the journal; blocks while that is busy.
    ///
    /// - Returns: whether the journal has taken it.
    static func send(_ entry: JournalEntry) -> Bool {
        let fields = entry.map { Array("\($0.name)=\($0.value)".utf8) }
        let bytes = fields.flatMap { $0 }
        return bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return true }
            var offset = 0
            let vectors = fields.map { field in
                defer { offset += field.count }
                return iovec(iov_base: UnsafeMutableRawPointer(mutating: base + offset), iov_len: field.count)
            }
            return sd_journal_sendv(vectors, CInt(vectors.count)) >= 0
        }
    }
}
