#if canImport(Glibc)
    import Glibc
#endif

/// A program that a test runs beside itself.
///
/// Not Foundation's `Process`: it copies whole entries of `/proc/self/fd` past the end of the buffer that they are in, and
/// now and then that ends the tests (swift-corelibs-foundation in Swift 6.3).
package struct ChildProcess: Sendable {
    private let id: pid_t

    /// Starts a program, which writes nowhere.
    ///
    /// - Parameter arguments: the first is the program's path, or its name to be looked for in `PATH`.
    /// - Throws: ``NotStarted``.
    package init(_ arguments: [String]) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for descriptor: CInt in 0...2 {
            posix_spawn_file_actions_addopen(
                &actions, descriptor, "/dev/null", descriptor == 0 ? O_RDONLY : O_WRONLY, 0)
        }
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var id: pid_t = 0
        let code = posix_spawnp(&id, arguments.first ?? "", &actions, nil, &words, environ)
        guard code == 0 else { throw NotStarted(program: arguments.first ?? "", code: code) }
        self.id = id
    }

    package struct NotStarted: Error {
        package let program: String
        /// Of the system.
        package let code: CInt
    }

    package func signal(_ number: CInt) {
        kill(id, number)
    }

    /// Blocks until it has ended.
    ///
    /// - Returns: what `waitpid` says of it; zero: it ended well.
    @discardableResult
    package func wait() -> CInt {
        var status: CInt = 0
        while waitpid(id, &status, 0) < 0, errno == EINTR {}
        return status
    }
}
