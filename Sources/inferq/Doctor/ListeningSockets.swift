import Foundation
import InferqCore
import InferqHTTP
import InferqStore

/// The TCP sockets on which a process listens, as the kernel tells anyone who may look at its files.
enum ListeningSockets {
    /// Those that other hosts reach; none if the process may not be looked at.
    static func openAddresses(of process: CInt) -> [String] {
        let folder = "/proc/\(process)/fd"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        let links = Set(
            names.compactMap { try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\($0)") })
        return ["tcp", "tcp6"].flatMap { name in
            sockets(in: KernelFile.text("/proc/\(process)/net/\(name)") ?? "").filter {
                links.contains("socket:[\($0.inode)]") && !NetworkReach.isLoopback($0.host)
            }
            .map { $0.host.contains(":") ? "[\($0.host)]:\($0.port)" : "\($0.host):\($0.port)" }
        }
    }

    /// The lines of /proc/net/tcp and tcp6 in state LISTEN: `sl local_address rem_address st ... inode`.
    static func sockets(in table: String) -> [(host: String, port: Int, inode: String)] {
        table.split(separator: "\n").dropFirst().compactMap { line in
            let fields = line.split(separator: " ", omittingEmptySubsequences: true)
            guard fields.count > 9, fields[3] == "0A" else { return nil }
            let parts = fields[1].split(separator: ":")
            guard parts.count == 2, let port = Int(parts[1], radix: 16), let host = host(parts[0]) else { return nil }
            return (host, port, String(fields[9]))
        }
    }

    /// Words of 32 bits in the byte order of the machine, each as 8 hex digits.
    private static func host(_ digits: Substring) -> String? {
        guard digits.utf8.count == 8 || digits.utf8.count == 32 else { return nil }
        var bytes: [UInt8] = []
        var rest = digits
        while !rest.isEmpty {
            guard let word = UInt32(rest.prefix(8), radix: 16) else { return nil }
            withUnsafeBytes(of: word) { bytes += Array($0) }
            rest = rest.dropFirst(8)
        }
        return NetworkReach.text(packed: bytes)
    }
}
