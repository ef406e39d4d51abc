import Glibc

/// A program that runs beside this one, with no signal blocked or ignored, in a process group of its own.
///
/// Not Foundation's `Process`: it copies whole entries of `/proc/self/fd` past the end of the buffer that they are in
/// (swift-corelibs-foundation in Swift 6.3).
struct ChildProcess: Sendable {
    /// Where what it writes goes.
    enum Output: Sendable {
        case inherited
        case nowhere
        /// Made if it is missing, and added to.
        case file(String)
    }

    enum Ending: Sendable, Equatable {
        case exited(CInt)
        /// By this signal.
        case killed(CInt)
        /// Somebody else has asked for it.
        case unknown

        fileprivate init(_ status: CInt) {
            let signal = status & 0x7F
            self = signal == 0 ? .exited(status >> 8 & 0xFF) : .killed(signal)
        }
    }

    /// The program is missing, or cannot be run.
    struct Failure: Error {
        let code: CInt

        var reason: String { String(cString: strerror(code)) }
    }

    let id: pid_t

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - words: its path, or its name to be found in `PATH`, and its arguments.
    ///   - environment: nil: this process's own.
    ///   - socket: becomes its descriptor 3, where systemd's sockets begin.
    init(
        _ words: [String],
        environment: [String: String]? = nil,
        output: Output,
        errors: Output,
        socket: CInt? = nil
    ) throws(Failure) {
        // Who was started with SIGCHLD ignored would never hear of a child's end.
        signal(SIGCHLD, SIG_DFL)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        for (descriptor, output) in [(STDOUT_FILENO, output), (STDERR_FILENO, errors)] {
            switch output {
            case .inherited: break
            case .nowhere: posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_WRONLY, 0)
            case .file(let path):
                posix_spawn_file_actions_addopen(&actions, descriptor, path, O_WRONLY | O_CREAT | O_APPEND, 0o600)
            }
        }
        if let socket { posix_spawn_file_actions_adddup2(&actions, socket, 3) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] =
            environment.map { $0.map { strdup("\($0.key)=\($0.value)") } + [nil] } ?? []
        defer { for text in arguments + variables { free(text) } }
        var process: pid_t = 0
        let code =
            environment == nil
            ? posix_spawnp(&process, words[0], &actions, &attributes, &arguments, environ)
            : posix_spawnp(&process, words[0], &actions, &attributes, &arguments, &variables)
        guard code == 0 else { throw Failure(code: code) }
        id = process
    }

    /// Blocks until it has ended. Asked once.
    func wait() -> Ending {
        var status: CInt = 0
        while true {
            if waitpid(id, &status, 0) == id { return Ending(status) }
            if errno != EINTR { return .unknown }
        }
    }

    /// Returns when it has ended; where the task is cancelled, it is killed. Asked once.
    func ending() async -> Ending {
        var status: CInt = 0
        while true {
            let found = waitpid(id, &status, WNOHANG)
            if found == id { return Ending(status) }
            if found < 0, errno != EINTR { return .unknown }
            do {
                try await Task.sleep(for: .milliseconds(20))
            } catch {
                kill(id, SIGKILL)
                return wait()
            }
        }
    }
}
