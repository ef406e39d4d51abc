import ArgumentParser
import Foundation

/// `inferq check`: reads the configuration and says every problem, or what it understood.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Read the configuration and print every problem, or what was understood.",
        discussion: "Exit codes: 0 all is right, 78 there are problems."
    )

    @Option(help: "The one file to read, in place of /etc/inferq.")
    var config: String?

    func run() throws {
        do {
            let settings = try Settings.load(
                environment: ProcessInfo.processInfo.environment,
                flags: SettingsFlags(config: config, sockets: .given)
            )
            print(settings.summary())
            if settings.listen.isEmpty {
                StandardError.write("warning: listen is empty, so serve starts only with sockets from systemd")
            }
            for warning in settings.warnings { StandardError.write("warning: \(warning)") }
        } catch {
            for problem in error.all { StandardError.write("\(problem)") }
            throw Exit.configuration
        }
    }
}
