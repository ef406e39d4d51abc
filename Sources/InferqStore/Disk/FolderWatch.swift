import Dispatch
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Hears from the kernel when a file of a folder loses its name or gets another one's; costs nothing until then.
///
/// One for the process: a user has 128 of them in all, and any number of folders in each.
final class FolderWatch: Sendable {
    /// Of one watcher.
    typealias Number = Int

    private struct Watcher: Sendable {
        /// The kernel's number of the folder; the same for all watchers of one.
        let folder: Int32
        let onChange: @Sendable () -> Void
    }

    private struct State {
        var last: Number = 0
        var watchers: [Number: Watcher] = [:]
    }

    /// Nil where the kernel gives none.
    static let shared = FolderWatch()

    private let descriptor: Int32
    private let source: Source
    private let state = Mutex(State())

    private init?() {
        descriptor = inotify_init1(Int32(O_NONBLOCK | O_CLOEXEC))
        guard descriptor >= 0 else { return nil }
        source = Source(descriptor)
        source.resume { [weak self] in self?.read() }
    }

    /// - Returns: nil when the kernel has no watch to give.
    func add(_ folder: String, onChange: @escaping @Sendable () -> Void) -> Number? {
        let mask = IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF
        return state.withLock { state in
            let folder = inotify_add_watch(descriptor, folder, UInt32(mask))
            guard folder >= 0 else { return nil }
            state.last += 1
            state.watchers[state.last] = Watcher(folder: folder, onChange: onChange)
            return state.last
        }
    }

    func remove(_ number: Number) {
        state.withLock { state in
            guard let watcher = state.watchers.removeValue(forKey: number) else { return }
            guard !state.watchers.values.contains(where: { $0.folder == watcher.folder }) else { return }
            // It fails for a folder that is gone, which the kernel watches no more.
            _ = inotify_rm_watch(descriptor, watcher.folder)
        }
    }

    /// Tells those whose folder has changed; what has changed they see for themselves.
    private func read() {
        var bytes = [UInt8](repeating: 0, count: 16 << 10)
        var folders: Set<Int32> = []
        while true {
            let count = Glibc.read(descriptor, &bytes, bytes.count)
            guard count > 0 else { break }
            bytes.withUnsafeBytes { bytes in
                var place = 0
                // "struct inotify_event" (man 7 inotify): the folder, what, a number, the length of the name, the name.
                while place + 16 <= count {
                    folders.insert(bytes.loadUnaligned(fromByteOffset: place, as: Int32.self))
                    place += 16 + Int(bytes.loadUnaligned(fromByteOffset: place + 12, as: UInt32.self))
                }
            }
        }
        // -1: some were lost.
        let isAny = folders.contains(-1)
        let told = state.withLock { $0.watchers.values.filter { isAny || folders.contains($0.folder) } }
        for watcher in told { watcher.onChange() }
    }

    private final class Source: @unchecked Sendable {  // proof: made and resumed before anybody else has it
        private let source: any DispatchSourceRead

        init(_ descriptor: Int32) {
            source = DispatchSource.makeReadSource(
                fileDescriptor: descriptor, queue: DispatchQueue(label: "inferq.folder-watch")
            )
        }

        func resume(_ handler: @escaping @Sendable () -> Void) {
            source.setEventHandler(handler: handler)
            source.resume()
        }
    }
}
