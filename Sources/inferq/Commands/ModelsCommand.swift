import ArgumentParser
import InferqCore

/// `inferq models`: lists models, and stops and starts taking their jobs.
struct ModelsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "models",
        abstract: "List models; pause and resume them.",
        discussion: "With --json the output is JSON, one object a line, as the gateway gives it.",
        subcommands: [ListModels.self, PauseModel.self, ResumeModel.self],
        defaultSubcommand: ListModels.self
    )
}

struct ListModels: ClientCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List models.")

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup
    var gateway: GatewayOptions

    func perform() async throws {
        try await gateway.withGateway { client in
            let (page, bytes) = try await client.decoded(ModelPage.self, client.get("/v1/models"))
            if json {
                guard let results = JSONScanner.members(of: bytes, in: bytes.indices).first else { return }
                for model in JSONScanner.elements(of: bytes, in: results.value) {
                    try StandardOutput.write(bytes[model] + [UInt8(ascii: "\n")])
                }
                return
            }
            guard !page.results.isEmpty else { return StandardError.write("no models: add one to the configuration") }
            try Screen().write(ModelSummary.table(page.results))
        }
    }
}

struct PauseModel: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "pause",
        abstract: "Stop taking jobs of a model; submits and running attempts continue. It lasts across restarts."
    )

    @OptionGroup
    var model: ModelArguments

    func perform() async throws {
        try await model.turn("pause")
    }
}

struct ResumeModel: ClientCommand {
    static let configuration = CommandConfiguration(commandName: "resume", abstract: "Take jobs of a model again.")

    @OptionGroup
    var model: ModelArguments

    func perform() async throws {
        try await model.turn("resume")
    }
}

/// Which model, and how its new state is printed.
struct ModelArguments: ParsableArguments {
    @Argument(help: "The name of the model.", completion: Completions.models)
    var name: String

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup
    var gateway: GatewayOptions

    fileprivate func turn(_ action: String) async throws {
        try await gateway.withGateway { client in
            let answer = try await client.post("/v1/models/\(name.percentEncoded)/\(action)")
            let (model, bytes) = try await client.decoded(ModelSummary.self, answer)
            if json { return try StandardOutput.write(bytes + [UInt8(ascii: "\n")]) }
            let waiting = "\(model.running) running, \(model.pending) pending"
            try StandardOutput.write(line: "\(model.name.visible()) is \(model.state.visible()): \(waiting)")
        }
    }
}
