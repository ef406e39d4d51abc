import ArgumentParser
import Foundation
import InferqCore
import InferqHTTP
import InferqStore

/// `inferq serve`: the gateway.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Run the gateway.",
        discussion: """
            With sockets from systemd, trouble with the configuration or the store does not end it: it answers 503 with \
            the reason and tries again every 10 s. Exit codes: 0 stopped, 65 the store is damaged, foreign or newer, 69 \
            it cannot listen, 71 the limit on open files is too low, 73 the store cannot be opened or is held, 74 the disk failed \
            or the store was taken away, 78 the configuration is wrong.
            """
    )

    @Option(help: "The one file to read, instead of /etc/inferq.", completion: .file(extensions: ["toml"]))
    var config: String?

    @Option(help: "An address to listen on, instead of the setting listen; may be repeated.")
    var listen: [String] = []

    func run() async throws {
        let environment = ProcessInfo.processInfo.environment
        let logs = LogSetup(environment: environment)
        defer { logs.writer.flush() }
        do {
            let endpoints = Systemd.endpoints(complain: logs.say)
            let flags = SettingsFlags(
                config: config, listen: listen, sockets: endpoints.isEmpty ? .own : .given, listening: endpoints
            )
            let identity = Live<TLSIdentity?>(nil)
            let rules = Live<AccessPolicy?>(nil)
            let prepare: @Sendable () async throws -> PreparedGateway = {
                let settings = try Settings.load(environment: environment, flags: flags) { broken in
                    // A stranger hears nothing of a broken configuration, so far as it says that there are strangers.
                    if broken.access.mode == .keys { rules.current = AccessPolicy(broken.access, broken.keys) }
                }
                rules.current = AccessPolicy(settings.access, settings.keys)
                identity.current = try settings.identity()
                let serve = Serve(
                    settings: settings, flags: flags, environment: environment, inherited: endpoints,
                    identity: identity, logs: logs
                )
                return PreparedGateway(serve: serve, queue: try await serve.open())
            }
            let prepared =
                endpoints.isEmpty
                ? try await prepare()
                : try await Degraded.untilPrepared(
                    endpoints: endpoints, identity: identity, rules: rules, logs: logs, prepare)
            if let prepared { try await prepared.serve.run(prepared.queue) }
        } catch let problems as SettingsProblems {
            for problem in problems.all { logs.say("inferq: \(problem)") }
            throw Exit.configuration
        } catch let error as StoreError {
            logs.say("inferq: \(error)")
            throw error.exitCode
        } catch let error as Endpoint.Unusable {
            logs.say("inferq: \(error)")
            throw Exit.unavailable
        }
    }
}

extension StoreError {
    var exitCode: ExitCode {
        switch self {
        case .corrupt, .foreign, .newer, .damaged: Exit.storeDamaged
        case .unusable, .held, .full, .gone, .closed: Exit.cannotCreate
        case .failed, .moved: Exit.diskFailed
        }
    }
}
