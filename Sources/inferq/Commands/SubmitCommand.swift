import ArgumentParser
import Glibc
import InferqCore

struct SubmitCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "submit",
        abstract: "Submit a job.",
        discussion: """
            Prints the job's id. With --watch it prints the output instead, when the job has COMPLETED, and exits with \
            1 if the job ended otherwise. What the model server gets as its body is the input, byte for byte. With \
            --path it is sent there, as the model server's own clients would.
            """
    )

    @Argument(help: "The name of the model.")
    var model: String

    @Argument(help: "A file, a JSON object, or - for standard input, which is taken too if nothing is given.")
    var input: String?

    @Flag(help: "Follow the job to its end and print its output.")
    var watch = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("From -100 to 100; higher ones go first.", valueName: "number")
    )
    var priority: Int?

    @Option(help: ArgumentHelp("How long one attempt may take, for example 30s or 5m.", valueName: "duration"))
    var timeout: String?

    @Option(help: ArgumentHelp("The input's content type, if its name does not tell it.", valueName: "content-type"))
    var type: String?

    @Option(help: ArgumentHelp("An idempotency key: the same key and input start nothing new.", valueName: "key"))
    var key: String?

    @Option(
        help: ArgumentHelp("Call this path of the model server, in its own language.", valueName: "path"))
    var path: String?

    @OptionGroup
    var gateway: GatewayOptions

    func perform() async throws {
        if let path, !path.hasPrefix("/") || path.utf8.contains(where: { !(0x21...0x7E).contains($0) }) {
            let advice = "write for example /v1/chat/completions"
            throw ClientError(.usage, "--path \(path.quoted()) is no path of a server; \(advice)")
        }
        let options = try SubmitOptions(priority: priority, timeout: timeout, key: key)
        let input = try await JobInput.read(input, type: type)
        if input.isEmpty { StandardError.write("inferq: warning: the input is empty, and is submitted so") }
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
            let advice = key == nil ? "the job may run all the same" : "submit again with the same key"
            throw ClientError(.broken, "\(error.sentence), and \(advice)")
        }
    }

    private func follow(_ record: JobRecord, _ client: GatewayClient) async throws {
        let flag = gateway.url.map { " --url \($0)" } ?? ""
        StandardError.write("job \(record.id) accepted; watch it again with: inferq watch \(record.eventID)\(flag)")
        let watch = JobWatch(client: client, eventID: record.eventID, firstContact: .made)
        let last: WatchedEvent
        if let terminal = Terminal(STDERR_FILENO) {
            last = try await watch.follow(on: terminal)
        } else {
            last = try await watch.follow { event in
                let status = Terminal.padded(event.status)
                StandardError.write("\(Timestamp.now.rfc3339) \(status) \(event.text)")
            } complain: { complaint in
                StandardError.write("inferq: \(complaint.visible())")
            }
        }
        switch last.status {
        case "COMPLETED":
            try await printOutput(of: record, watch)
        case "CANCELLED":
            throw ClientError(.jobEnded, "job \(record.id) was cancelled")
        default:
            throw ClientError(.jobEnded, "job \(record.id) failed (\(last.error ?? "no reason is known"))")
        }
    }

    private func printOutput(of record: JobRecord, _ watch: JobWatch) async throws {
        let path = "/v1/inference/\(record.id)/output"
        let answer = try await watch.patiently { complaint in
            StandardError.write("inferq: \(complaint.visible())")
        } _: {
            try await watch.client.get(path)
        }
        var count = 0
        do {
            guard !StandardOutput.isTerminal else {
                if let problem = try await OutputText.show(answer, watch.client) {
                    StandardError.write("\(problem); write it to a file with: inferq jobs output \(record.id) >FILE")
                }
                return
            }
            try await watch.client.read(answer) { bytes in
                count += bytes.count
                try StandardOutput.write(bytes)
                return true
            }
        } catch let error as ClientError where error.cause == .broken {
            let place = watch.client.address.url(path)
            throw ClientError(.broken, "the output broke off after \(count) bytes; read it again at \(place)")
        }
    }
}

extension JobWatch {
    /// Follows the job with a progress line, which is gone when this returns.
    fileprivate func follow(on terminal: Terminal) async throws -> WatchedEvent {
        let line = ProgressLine(on: terminal)
        defer { line.finish() }
        // Cancelled and awaited when this function returns.
        async let _ = line.run()
        return try await follow(line.show(_:), complain: line.show(note:))
    }
}
