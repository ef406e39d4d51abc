import ArgumentParser

struct SubmitCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "submit",
        abstract: "Submit a job.",
        discussion: """
            Prints the job's id. With --watch it prints the output instead, a text as it comes and anything else when \
            the job has COMPLETED, and exits with 1 if the job ended otherwise. The model server gets the input as its \
            body, byte for byte. With --path it is sent there, as the model server's own clients would.
            """
    )

    @Argument(help: "The name of the model.", completion: Completions.models)
    var model: String

    @Argument(
        help: "A file, a JSON object, or - for standard input, which is also read if nothing is given.",
        completion: .file())
    var input: String?

    @Flag(help: "Follow the job to its end and print its output.")
    var watch = false

    @Flag(help: "With --watch: print the bytes of the output as they come, not the text of a stream.")
    var raw = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("From -100 to 100; higher ones go first.", valueName: "number")
    )
    var priority: Int?

    @Option(help: ArgumentHelp("How long one attempt may take, for example 30s or 5m.", valueName: "duration"))
    var timeout: String?

    @Option(help: ArgumentHelp("The input's content type, if its name does not imply it.", valueName: "content-type"))
    var type: String?

    @Option(help: ArgumentHelp("An idempotency key: the same key and input start nothing new.", valueName: "key"))
    var key: String?

    @Option(
        help: ArgumentHelp("Call this path of the model server, in its own language.", valueName: "path"))
    var path: String?

    @OptionGroup
    var gateway: GatewayOptions

    func validate() throws {
        if raw, !watch { throw ValidationError("--raw needs --watch") }
    }

    func perform() async throws {
        if let path, !path.hasPrefix("/") || path.utf8.contains(where: { !(0x21...0x7E).contains($0) }) {
            let advice = "write something like /v1/chat/completions"
            throw ClientError(.usage, "--path \(path.quoted()) is not a path of a server; \(advice)")
        }
        if gateway.takesKeyFromStandardInput, input == nil || input == "-" {
            throw ClientError(.usage, "standard input holds the key, and so cannot be the input; name a file")
        }
        let options = try SubmitOptions(priority: priority, timeout: timeout, key: key)
        let input = try await JobInput.read(input, type: type)
        if input.isEmpty { StandardError.write("inferq: warning: the input is empty, and is submitted as such") }
        let request =
            if let path {
                SubmitRequest(model: model, callPath: path, input: input, options: options)
            } else {
                SubmitRequest(model: model, input: input, options: options)
            }
        try await gateway.withGateway { client in
            let record = try await send(request, to: client)
            guard watch else { return try StandardOutput.write(line: record.id) }
            try await follow(record, client)
        }
    }

    private func send(_ request: SubmitRequest, to client: GatewayClient) async throws -> JobRecord {
        do {
            let answer = try await client.post(request.path, headers: request.headers, body: request.body)
            return try JobRecord(await client.bytes(of: answer), from: client)
        } catch let error as ClientError where error.cause == .broken {
            let advice = key == nil ? "the job may run anyway" : "submit again with the same key"
            throw ClientError(.broken, "\(error.sentence), and \(advice)")
        }
    }

    private func follow(_ record: JobRecord, _ client: GatewayClient) async throws {
        let flag = gateway.url.map { " --url \($0)" } ?? ""
        let command = "inferq watch --output \(record.eventID)\(flag)"
        StandardError.write("job \(record.id) accepted; watch it again with: \(command)")
        let watch = JobWatch(client: client, eventID: record.eventID, firstContact: .made, withOutput: true)
        try await OutputWatch.follow(watch, raw ? .raw : .text)
    }
}
