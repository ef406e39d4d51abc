import Glibc
import InferqCore

/// File descriptors: what connections cost first, and what the store and the calls of model servers need as well.
enum OpenFiles {
    /// As many as the host allows this process.
    static func raiseLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
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
        limit: Int = limit
    ) -> (connections: Int, refusals: Int) {
        // 64: the store's connections and their files, listeners, event loops, logs, bodies on their way to a file.
        // Each call of a model server is a connection, which may have an answer's file beside it. At least half is left
        // for clients: a concurrency that is not used must not keep everybody out.
        let calls = models.reduce(0) { $0 + 2 * $1.concurrency }
        let room = max(limit - 64 - calls, limit / 2)
        let refusals = min(64, max(1, room / 8))
        return (max(1, min(wanted, room - refusals)), refusals)
    }
}
