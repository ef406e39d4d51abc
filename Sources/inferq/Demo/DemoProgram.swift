import Foundation
import NIOPosix

/// This program, as the demo runs it beside itself.
enum DemoProgram {
    /// Its own file.
    private static let path = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? "inferq"

    /// The shell knows its own process, and becomes the program, which the kernel ends when the demo has ended.
    private static let script = """
        [ -z "$LISTEN_FDS" ] || export LISTEN_PID=$$
        if command -v setpriv >/dev/null; then exec setpriv --pdeathsig KILL "$@"; else exec "$@"; fi
        """

    /// On an event loop's thread, which lives as long as the demo: the kernel ends a child with the thread that started
    /// it (PR_SET_PDEATHSIG, prctl(2)), and other threads end when they have nothing to do.
    ///
    /// - Parameters:
    ///   - url: of the gateway that it is to find.
    ///   - socket: to listen on, as if systemd had given it.
    static func start(
        _ arguments: [String],
        gateway url: String? = nil,
        output: ChildProcess.Output = .inherited,
        errors: ChildProcess.Output = .inherited,
        socket: CInt? = nil
    ) async throws -> ChildProcess {
        // Without what is set for another gateway, or by the service that this runs in.
        let foreign = ["INFERQ_", "LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_", "CREDENTIALS_DIRECTORY"]
        var environment = ProcessInfo.processInfo.environment.filter { name, _ in
            !foreign.contains { name.hasPrefix($0) }
        }
        environment["INFERQ_URL"] = url
        if socket != nil { environment["LISTEN_FDS"] = "1" }
        return try await MultiThreadedEventLoopGroup.singleton.any().submit { [environment] in
            try ChildProcess(
                ["/bin/sh", "-c", script, "sh", path] + arguments, environment: environment, output: output,
                errors: errors, socket: socket)
        }.get()
    }
}
