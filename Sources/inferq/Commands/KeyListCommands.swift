import ArgumentParser
import InferqCore

struct ListKeys: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the clients and their keys; no key is shown, only its id.")

    @Flag(help: "Print JSON, one client a line.")
    var json = false

    @OptionGroup
    var options: ConfigurationOptions

    func perform() async throws {
        let folder = try KeyFolder(options.settings().access.keys)
        let problems = ProblemList()
        let clients = folder.entries(problems: problems).map(\.client).sorted { $0.name < $1.name }
        if json {
            for client in clients { try StandardOutput.write(Self.line(client) + [UInt8(ascii: "\n")]) }
        } else if clients.isEmpty {
            StandardError.write("no clients in \(folder.path.visible()); inferq key add creates one")
        } else {
            try Screen().write(Self.table(clients, now: .now))
        }
        if !problems.all.isEmpty { throw ConfigurationOptions.refuse(problems.all) }
    }

    private static func table(_ clients: [Client], now: Timestamp) -> Table {
        var table = Table(columns: [
            Table.Column(title: "CLIENT", isElastic: true), Table.Column(title: "KEY"), Table.Column(title: "EXPIRES"),
            Table.Column(title: "SCOPES", isElastic: true, rank: 1),
            Table.Column(title: "MODELS", isElastic: true, rank: 2),
            Table.Column(title: "LIMITS", isElastic: true, rank: 3),
        ])
        for client in clients {
            let scopes = client.scopes == .all ? "*" : client.scopes.names.joined(separator: ", ")
            let models = client.limits.models.isEmpty ? "*" : client.limits.models.joined(separator: ", ")
            let more = [Table.Cell(scopes), Table.Cell(models), Table.Cell(limits(client))]
            for key in client.keys {
                table.rows.append([Table.Cell(client.name), Table.Cell(key.id), end(key, now)] + more)
            }
            if client.keys.isEmpty {
                let what = client.certificate == nil ? "none" : "certificate"
                table.rows.append([Table.Cell(client.name), Table.Cell(what, .faint), "-"] + more)
            }
        }
        return table
    }

    private static func end(_ key: Caller.Key, _ now: Timestamp) -> Table.Cell {
        guard let expires = key.expires else { return "never" }
        return expires > now ? Table.Cell(expires.rfc3339) : Table.Cell("expired", .red)
    }

    private static func limits(_ client: Client) -> String {
        let rows = Client.rows.filter { row in
            ["max_priority", "max_pending", "max_running", "rate"].contains(row.key)
                && row.hasChanged(from: Client(""), to: client)
        }
        return rows.map { "\($0.key) \($0.text(in: client).replacing("\"", with: ""))" }.joined(separator: ", ")
    }

    private static func line(_ client: Client) -> [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("client")
        writer.value(client.name)
        writer.name("keys")
        writer.beginArray()
        for key in client.keys {
            writer.beginObject()
            writer.name("id")
            writer.value(key.id)
            writer.name("expires")
            writer.value(key.expires)
            writer.endObject()
        }
        writer.endArray()
        for (name, texts) in [("scopes", client.scopes.names), ("models", client.limits.models)] {
            writer.name(escaping: name)
            writer.value(texts)
        }
        let limits = client.limits
        for (name, number) in [
            ("max_priority", limits.maxPriority), ("max_pending", limits.maxPending),
            ("max_running", limits.maxRunning),
        ] {
            writer.name(escaping: name)
            writer.value(number)
        }
        for (name, text) in [("rate", limits.rate?.text), ("certificate", client.certificate)] {
            writer.name(escaping: name)
            writer.value(text)
        }
        writer.endObject()
        return writer.bytes
    }
}

struct WhoseKey: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "whose",
        abstract: "Say whose key is on standard input.",
        discussion: "Prints the client, the key's id and when it expires. Exit code 1: no client has it."
    )

    @Argument(help: "- for standard input: everyone on this host can see arguments.")
    var source: String

    @OptionGroup
    var options: ConfigurationOptions

    func perform() async throws {
        guard source == "-" else {
            throw ClientError(
                .usage,
                "a key is never an argument, since everyone on this host can see those; pipe it in: inferq key whose -")
        }
        let key = try ClientKey.fromStandardInput()
        let problems = ProblemList()
        let ring = try KeyFolder(options.settings().access.keys).read(problems: problems)
        guard let caller = ring.caller(with: key.digest), let found = caller.key else {
            StandardError.write("inferq: no client has the key \(key.digest.id)")
            throw problems.all.isEmpty ? ExitCode(1) : ConfigurationOptions.refuse(problems.all)
        }
        let end = found.expires.map { $0 > .now ? "expires \($0.rfc3339)" : "expired \($0.rfc3339)" } ?? "never expires"
        try StandardOutput.write(line: "\(caller.client)  \(found.id)  \(end)")
        if !problems.all.isEmpty { throw ConfigurationOptions.refuse(problems.all) }
    }
}
