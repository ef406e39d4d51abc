import ArgumentParser
import Foundation

/// The configuration that a command reads beside the gateway, which has its own copy.
struct ConfigurationOptions: ParsableArguments {
    @Option(
        help: "The one configuration file to read, instead of /etc/inferq.",
        completion: .file(extensions: ["toml"]))
    var config: String?

    func settings() throws -> Settings { try Self.settings(config) }

    /// - Throws: the exit code of a wrong configuration, after its problems were said.
    static func settings(_ config: String?) throws -> Settings {
        do {
            return try load(config)
        } catch {
            throw refuse(error.all)
        }
    }

    static func load(_ config: String?) throws(SettingsProblems) -> Settings {
        try Settings.load(
            environment: ProcessInfo.processInfo.environment, flags: SettingsFlags(config: config, sockets: .unneeded))
    }

    /// Says the problems.
    static func refuse(_ problems: [SettingsProblem]) -> ExitCode {
        for problem in problems { StandardError.write("inferq: \(problem)") }
        return Exit.configuration
    }
}
