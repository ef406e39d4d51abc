import Foundation
import Glibc
import InferqStore

/// Asks the gateway that has a store to read its configuration again.
enum GatewayReload: Equatable {
    case asked(pid_t)
    case notRunning
    /// It belongs to another user.
    case notOurs(pid_t)
    /// This user may not look.
    case unknown

    /// - Parameter store: its path, as the settings have it.
    static func ask(store: String) -> GatewayReload {
        switch StoreHolder.find(store) {
        case .noOne: return .notRunning
        case .unknown: return .unknown
        case .process(let process):
            // `doctor` and `backup` hold a store that no gateway has, and the signal would end them.
            guard isGateway(process) else { return .notRunning }
            return kill(process, SIGHUP) == 0 ? .asked(process) : errno == ESRCH ? .notRunning : .notOurs(process)
        }
    }

    private static func isGateway(_ process: pid_t) -> Bool {
        // A process that is gone has no command line any more.
        guard let line = try? Data(contentsOf: URL(fileURLWithPath: "/proc/\(process)/cmdline")) else { return false }
        let words = line.split(separator: 0, omittingEmptySubsequences: false)
        return words.count > 1 && words[1].elementsEqual("serve".utf8)
    }

    /// - Parameter what: what it reads again, as in `keys`.
    func sentence(of what: String) -> String {
        switch self {
        case .asked(let process):
            "the gateway (process \(process)) was asked to read its \(what) again; if it refuses, its log says why"
        case .notRunning: "no gateway runs on this store; it reads its \(what) when it starts"
        case .notOurs(let process):
            "the gateway (process \(process)) is another user's: it reads its \(what) on systemctl reload inferq"
        case .unknown:
            "this user cannot see whether a gateway runs; one that does reads its \(what) on systemctl reload inferq"
        }
    }
}
