import ArgumentParser
import Glibc
import InferqCore
import InferqHTTP
import NIOCore

/// File descriptors: what connections cost first, and what the store and the calls of model servers need as well.
enum OpenFiles {
    /// As many as the host allows this process.
    static func raiseLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// Raises the limit, and ends the process with a sentence if too few files may be open for the command even so: the
    /// event loops could not be made, and they trap then.
    static func prepare(for command: String) {
        raiseLimit()
        // Nothing but the runtime's own.
        let isAlone = ["check", "key", "--help", "-h", "help", "--version", ""].contains(command)
        let serves = ["serve", "worker"].contains(command)
        // A client waits for one answer at a time.
        if !serves { NIOSingletons.groupLoopCountSuggestion = 1 }
        // Each loop has three of its own, libdispatch has three, a name that is looked up takes two for a moment.
        let readsStore = ["backup", "doctor"].contains(command)
        let rest = serves ? 40 : readsStore ? 30 : 10
        let needed = isAlone ? 5 : 3 * NIOSingletons.groupLoopCountSuggestion + rest
        guard !hasRoom(for: needed) else { return }
        // Not even this waits when no one reads.
        let logs = LogWriter()
        logs.write(.line("inferq: \(ClientError.openFiles.sentence)"))
        logs.flush()
        exit(Exit.host.rawValue)
    }

    /// Whether so many more can be opened now.
    private static func hasRoom(for count: Int) -> Bool {
        var taken: [CInt] = []
        defer { for descriptor in taken { close(descriptor) } }
        while taken.count < count {
            let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            guard descriptor >= 0 else { return false }
            taken.append(descriptor)
        }
        return true
    }

    /// In force now.
    static var limit: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
        return Int(clamping: limit.rlim_cur)
    }

    /// How many connections to serve, and how many more to keep until they have been told that there are too many.
    ///
    /// - Returns: `wanted` and 64, or less where the limit leaves no room for them beside the store and the calls.
    static func share(
        of wanted: Int,
        beside models: [ModelSettings],
        limit: Int = limit,
        loops: Int = NIOSingletons.groupLoopCountSuggestion
    ) -> (connections: Int, refusals: Int) {
        // 40: the store's connections and their files, listeners, logs, bodies on their way to a file. Each loop has three of
        // its own, and at two addresses connections may be accepted that are not counted yet.
        let rest = 40 + 3 * loops + 2 * HTTPSettings.acceptsUnderWay
        // Each call of a model server is a connection, which may have an answer's file beside it. At least half is left
        // for clients: a concurrency that is not used must not keep everyone out.
        let calls = models.reduce(0) { $0 + 2 * $1.concurrency }
        let room = max(limit - rest - calls, limit / 2)
        let refusals = min(64, max(1, room / 8))
        return (max(1, min(wanted, room - refusals)), refusals)
    }
}
