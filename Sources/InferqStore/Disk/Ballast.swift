import Dispatch
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// A file that holds room on the disk in reserve: given up when the disk is full, so that what runs can end and the
/// retention can work (SQLite needs room to delete rows, too).
final class Ballast: Sendable {
    private struct State {
        var isHeld = false
        /// Given up, by this process or an earlier one, and not taken again.
        var isOwed = false
        /// Not taken again before it: whatever filled the disk is likely to go on for a while.
        var rest: ContinuousClock.Instant?
    }

    /// Bytes.
    let size: Int
    private let path: String
    private let state: Mutex<State>
    /// To allocate may take its time; it gets a thread of its own.
    private let queue = DispatchQueue(label: "inferq.ballast")

    private static let pause = Duration.seconds(5)

    /// Holds what an earlier process has left, if it is of that size.
    init(path: String, size: Int) {
        self.path = path
        self.size = size
        var status = stat()
        let isThere = size > 0 && lstat(path, &status) == 0
        let isHeld = isThere && Int(status.st_size) == size && Int(status.st_blocks) * 512 >= size
        state = Mutex(State(isHeld: isHeld, isOwed: isThere && status.st_size == 0))
    }

    var isHeld: Bool { state.withLock { $0.isHeld } }

    /// What is missing of it, in bytes.
    var missing: Int { isHeld ? 0 : size }

    /// What was given up of it, in bytes.
    var owed: Int { state.withLock { $0.isOwed } ? size : 0 }

    /// Frees the room; true if there was any to free. Blocks for a moment.
    func giveUp() -> Bool {
        state.withLock { state in
            guard state.isHeld else { return false }
            state.isHeld = false
            state.isOwed = true
            state.rest = ContinuousClock.now + Self.pause
            // To cut it needs no new block of the folder, not even on file systems that copy on write.
            return truncate(path, 0) == 0
        }
    }

    /// Allocates the room again. One that finds none is given up at once.
    func take() async {
        guard size > 0 else { return }
        await withCheckedContinuation { continuation in
            queue.async {
                self.state.withLock { state in
                    guard !state.isHeld, state.rest.map({ $0 <= ContinuousClock.now }) ?? true else { return }
                    state.isHeld = self.allocate()
                    if state.isHeld {
                        state.isOwed = false
                    } else {
                        if !state.isOwed { unlink(self.path) }
                        state.rest = ContinuousClock.now + Self.pause
                    }
                }
                continuation.resume()
            }
        }
    }

    private func allocate() -> Bool {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        guard posix_fallocate(descriptor, 0, off_t(size)) == 0 else {
            ftruncate(descriptor, 0)
            return false
        }
        return true
    }
}
