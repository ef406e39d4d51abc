import CSystemd
import Glibc

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

    /// Tells the service manager, if there is one: `READY=1`, `STATUS=...`.
    static func notify(_ state: String) {
        _ = sd_notify(0, state)
    }

    /// Sends one entry to the journal. One that it does not take is lost: there is nowhere left to say so.
    static func send(_ entry: JournalEntry) {
        let fields = entry.map { Array("\($0.name)=\($0.value)".utf8) }
        let bytes = fields.flatMap { $0 }
        bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            var offset = 0
            let vectors = fields.map { field in
                defer { offset += field.count }
                return iovec(iov_base: UnsafeMutableRawPointer(mutating: base + offset), iov_len: field.count)
            }
            _ = sd_journal_sendv(vectors, CInt(vectors.count))
        }
    }
}
