import InferqStore

#if canImport(Glibc)
    import Glibc
#endif

/// What this process takes of the host, as Linux tells it; nil where it does not.
struct ProcessFigures: Sendable {
    /// Bytes.
    let resident: Int?
    /// Bytes.
    let virtual: Int?
    let openFiles: Int?
    let maxFiles: Int?
    /// Of all threads, in user and system mode.
    let cpuSeconds: Double

    static var current: ProcessFigures {
        let pages = memoryPages
        let pageSize = sysconf(CInt(_SC_PAGESIZE))
        return ProcessFigures(
            resident: pages.map { $0.resident * pageSize },
            virtual: pages.map { $0.virtual * pageSize },
            openFiles: openFileCount,
            maxFiles: maxFileCount,
            cpuSeconds: cpuTime
        )
    }

    /// The first two numbers of proc_pid_statm(5).
    private static var memoryPages: (virtual: Int, resident: Int)? {
        let numbers = KernelFile.text("/proc/self/statm")?.split(separator: " ").prefix(2).compactMap { Int($0) } ?? []
        return numbers.count == 2 ? (numbers[0], numbers[1]) : nil
    }

    private static var openFileCount: Int? {
        guard let folder = opendir("/proc/self/fd") else { return nil }
        defer { closedir(folder) }
        var count = 0
        while readdir(folder) != nil { count += 1 }
        // Not counted: the folder itself and the one above it, and the descriptor that reads them.
        return max(0, count - 3)
    }

    private static var maxFileCount: Int? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return nil }
        return Int(exactly: limit.rlim_cur)
    }

    private static var cpuTime: Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
