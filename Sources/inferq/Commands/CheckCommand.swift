import ArgumentParser
import Foundation
import Glibc

/// `inferq check`: reads the configuration and says every problem, or what it understood.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Read the configuration and print every problem, or what was understood.",
        discussion: "Exit codes: 0 no problems, 78 there are problems."
    )

    @Option(help: "The one file to read, instead of /etc/inferq.", completion: .file(extensions: ["toml"]))
    var config: String?

    func run() throws {
        do {
            let settings = try Settings.load(
                environment: ProcessInfo.processInfo.environment,
                flags: SettingsFlags(config: config, sockets: .either)
            )
            let identity = try settings.identity()
            try settings.checkAuthorities()
            print(settings.summary())
            if settings.listen.isEmpty {
                StandardError.write("warning: listen is empty, so serve starts only with sockets from systemd")
            }
            for warning in settings.warnings + settings.advice { StandardError.write("warning: \(warning)") }
            for problem in Self.unusedKeys(settings) { StandardError.write("warning: \(problem)") }
            if let trouble = identity?.certificate.trouble(at: .now) { StandardError.write("warning: \(trouble)") }
        } catch {
            for problem in error.all { StandardError.write("\(problem)") }
            throw Exit.configuration
        }
    }

    /// What is wrong with the files of keys while no one asks for any; nothing where this user may not read them.
    private static func unusedKeys(_ settings: Settings) -> [SettingsProblem] {
        guard settings.access.mode == .open, access(settings.access.keys, R_OK) == 0 else { return [] }
        let problems = ProblemList()
        _ = KeyFolder(settings.access.keys).read(problems: problems)
        return problems.all
    }
}
