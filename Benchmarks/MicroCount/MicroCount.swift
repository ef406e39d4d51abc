import ArgumentParser
import Foundation
import MicroCases

/// Does one case's work and nothing else, under a tool that counts instructions.
@main
struct MicroCount: AsyncParsableCommand {
    @Argument(help: "The case; without one, their names and how often each is done.")
    var name: String?

    @Option(help: "How often; 0 prepares the folder and does nothing else.")
    var times = 0

    @Option(help: "Where stores lie.", transform: { URL(filePath: $0, directoryHint: .isDirectory) })
    var folder = FileManager.default.temporaryDirectory

    func run() async throws {
        guard let name else {
            for each in Case.all { print("\(each.times)\t\(each.name)") }
            return
        }
        guard let found = Case.all.first(where: { $0.name == name }) else {
            throw ValidationError("no case is named \(name)")
        }
        let times = times
        try await found.run(in: folder) { work in try await work(times) }
    }
}
