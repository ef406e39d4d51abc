import ArgumentParser
import Glibc
import InferqCore
import NIOCore
import NIOHTTP1

struct BatchCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "batch",
        abstract: "Run a file of requests as a batch.",
        discussion: """
            Each line of the file is a request of the OpenAI Batch API ("custom_id", "method", "url", "body"), or only \
            the body of one. Prints the batch's id. With --watch it shows how far the batch is and, once it has ended, \
            writes the results next to the file: FILE.output.jsonl and FILE.errors.jsonl. Exits with 0 if all lines \
            were answered, with 1 if not. Instead of a file, name the id of a batch to watch it.
            """
    )

    @Argument(help: "A file of JSON lines, or the id of a batch.", completion: .file())
    var file: String

    @Option(
        help: ArgumentHelp("The model of lines that name none.", valueName: "name"), completion: Completions.models)
    var model: String?

    @Option(help: ArgumentHelp("The path of lines that name none.", valueName: "path"))
    var endpoint = "/v1/chat/completions"

    @Flag(help: "Follow the batch to its end, and write its result files.")
    var watch = false

    @Flag(help: "Overwrite files that already exist.")
    var force = false

    @OptionGroup
    var gateway: GatewayOptions

    func perform() async throws {
        if Batch.ids.uuid(in: file) != nil {
            let files = try results(of: file)
            return try await gateway.withGateway { client in
                try await BatchWatch(client: client, id: file).follow(output: files.output, errors: files.errors)
            }
        }
        let source = try InputFile(path: file, or: "the id of a batch")
        let requests = try BatchInput.requests(
            try await source.read(upTo: .max), model: model, endpoint: endpoint, name: source.name)
        let files = watch ? try results(of: stem) : nil
        try await gateway.withGateway { client in
            let batch = try await submit(requests, client)
            guard let files else { return try StandardOutput.write(line: batch.id) }
            StandardError.write("batch \(batch.id) accepted; watch it again with: inferq batch \(batch.id)")
            try await BatchWatch(client: client, id: batch.id).follow(output: files.output, errors: files.errors)
        }
    }

    private var stem: String {
        for ending in [".jsonl", ".ndjson"] where file.hasSuffix(ending) { return String(file.dropLast(ending.count)) }
        return file
    }

    /// Where what comes of the batch goes; refused before anything is sent if it cannot go there.
    private func results(of stem: String) throws -> (output: WholeFile, errors: WholeFile) {
        (
            try WholeFile("\(stem).output.jsonl", overwrites: force),
            try WholeFile("\(stem).errors.jsonl", overwrites: force)
        )
    }

    private func submit(_ requests: [UInt8], _ client: GatewayClient) async throws -> BatchDocument {
        struct Uploaded: Decodable {
            let id: String
        }
        let name = String(file.split(separator: "/").last ?? "requests.jsonl")
        let form = BatchInput.form(requests, fileName: name)
        let sent = try await client.post(
            "/v1/files", headers: ["Content-Type": form.contentType], body: .bytes(ByteBuffer(bytes: form.body)))
        let uploaded = try await client.decoded(Uploaded.self, sent).value
        // All lines have one; the gateway says what is wrong if they have not the same.
        let url = requests.prefix { $0 != 0x0A }
        let endpoint = JSONObject(Array(url))?.text("url") ?? endpoint
        var body = JSONObject()
        body.set("input_file_id", uploaded.id)
        body.set("endpoint", endpoint)
        body.set("completion_window", "24h")
        let made = try await client.post(
            "/v1/batches", headers: ["Content-Type": "application/json"], body: .bytes(ByteBuffer(bytes: body.bytes)))
        return try await client.decoded(BatchDocument.self, made).value
    }
}
