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
        guard isService else { return await main(nil) }
        do {
            var parsed = try parseAsRoot()
            if var service = parsed as? any AsyncParsableCommand { try await service.run() } else { try parsed.run() }
        } catch {
            endService(with: error)
        }
        _exit(0)
    }

    /// As `exit(withError:)`, but that nothing is taken apart: all is stored and told, while event loops and the threads of
    /// the store run to the very end, and would meet what `exit` has destroyed.
    private static func endService(with error: any Error) -> Never {
        let code = exitCode(for: error)
        let message = fullMessage(for: error)
        if !message.isEmpty, code.isSuccess {
            print(message)
            fflush(nil)
        } else if !message.isEmpty {
            StandardError.write(message)
        }
        _exit(code.rawValue)
    }
}
