import ArgumentParser
import Glibc

@main
struct Inferq: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inferq",
        abstract: "An asynchronous inference gateway for one host.",
        version: Version.text,
        subcommands: [
            ServeCommand.self, WorkerCommand.self, DemoCommand.self, CheckCommand.self, ConfigCommand.self,
            SubmitCommand.self,
            WatchCommand.self,
            JobsCommand.self, BatchCommand.self,
            ModelsCommand.self, StatusCommand.self, DoctorCommand.self, BackupCommand.self, KeyCommand.self,
            CertCommand.self,
        ]
    )

    static func main() async {
        let command = CommandLine.arguments.dropFirst().first ?? ""
        let isService = ["serve", "worker"].contains(command)
        if isService { StartSignals.take() }
        OpenFiles.prepare(for: command)
        await main(nil)
        // All is stored and told. Event loops run to the very end, and `exit` would take apart under them what they use.
        if isService { _exit(0) }
    }
}
