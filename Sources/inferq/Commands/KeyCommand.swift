import ArgumentParser
import Foundation
import InferqCore

/// `inferq key`: makes and ends the keys of clients.
struct KeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key",
        abstract: "Create, rotate, revoke and list the keys of clients.",
        discussion: """
            Keys are kept as hashes, in one file for each client (access.keys, /etc/inferq/keys.d). They are required \
            over the network with mode = "keys" under [access]. After a change, a gateway that runs on this host is asked \
            to read them again. Exit codes: 0 done, 1 no client has this key, 64 wrong usage, 73 a file cannot be written, \
            78 the configuration or a file of keys is wrong.
            """,
        subcommands: [AddKey.self, RotateKey.self, RevokeKey.self, ListKeys.self, WhoseKey.self]
    )
}

struct AddKey: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "add",
        abstract: "Make a client and its key; print the key, once.",
        discussion: "Scopes: submit, read, cancel, read:all, operate, metrics, and * for all of them."
    )

    @Argument(help: "The name of the client, as it is shown with its jobs.")
    var name: String

    @Option(help: ArgumentHelp("What it may do, separated by commas.", valueName: "scopes"))
    var scopes = "submit,read,cancel"

    @Option(help: ArgumentHelp("The models that it may use, separated by commas; all by default.", valueName: "models"))
    var models: String?

    @Option(
        help: ArgumentHelp(
            "How long the key is valid, for example 90d; by default until it is revoked.", valueName: "duration"))
    var expires: String?

    @Option(help: ArgumentHelp("The most pending jobs it may have.", valueName: "number"))
    var maxPending: Int?

    @Option(help: ArgumentHelp("The most running jobs it may have.", valueName: "number"))
    var maxRunning: Int?

    @Option(help: ArgumentHelp("The most requests it may make, for example 600/1m.", valueName: "rate"))
    var rate: String?

    @Option(help: ArgumentHelp("The highest priority of its jobs.", valueName: "number"))
    var maxPriority: Int?

    @OptionGroup
    var options: ConfigurationOptions

    func perform() async throws {
        guard ClientName.isValid(name) else {
            throw ClientError(.usage, "\(name.quoted()) cannot name a client; \(KeyFolder.nameAdvice)")
        }
        let key = AccessKey()
        var client = Client(name)
        client.keys = [Caller.Key(key.digest, expires: try KeyLife.end(expires, "--expires"))]
        try set("scopes", "--scopes", Self.list(scopes, "--scopes"), of: &client)
        if let models { try set("models", "--models", Self.list(models, "--models"), of: &client) }
        for (row, flag, number) in [
            ("max_pending", "--max-pending", maxPending), ("max_running", "--max-running", maxRunning),
            ("max_priority", "--max-priority", maxPriority),
        ] {
            if let number { try set(row, flag, .whole(number), of: &client) }
        }
        if let rate { try set("rate", "--rate", .text(rate), of: &client) }
        let change = try KeyChange(options.settings())
        try change.add(client)
        change.tell("the client \(name) may use the scopes \(client.scopes.names.joined(separator: ", "))")
        try change.hand(key, client.keys[0], of: name)
    }

    /// An empty list would mean all models, or a key that may do nothing: a variable of a script that is not set.
    private static func list(_ text: String, _ flag: String) throws(ClientError) -> SettingsValue {
        let names = text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
        guard !names.isEmpty else {
            throw ClientError(.usage, "\(flag) names nothing; name at least one, or leave it out")
        }
        return .list(names.map { .text($0) })
    }

    /// As the file would have it, with the same limits.
    private func set(_ key: String, _ flag: String, _ value: SettingsValue, of client: inout Client) throws(ClientError)
    {
        guard let row = Client.rows.first(where: { $0.key == key }) else { return }
        do throws(Refusal) {
            try row.set(&client, to: value, defaults: Client(""), Credentials(folder: nil))
        } catch {
            throw ClientError(.usage, "\(flag): \(error.what); \(error.advice)")
        }
    }
}

struct RotateKey: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate",
        abstract: "Give a client a new key; print it, once. Its old ones stay valid for a while.",
        discussion: "Hashes of keys that have expired are removed."
    )

    @Argument(help: "The name of the client.")
    var name: String

    @Option(help: ArgumentHelp("How long the old keys stay valid at most.", valueName: "duration"))
    var overlap = "7d"

    @Option(
        help: ArgumentHelp(
            "How long the new key is valid, for example 90d; by default until it is revoked.", valueName: "duration"))
    var expires: String?

    @OptionGroup
    var options: ConfigurationOptions

    func perform() async throws {
        guard let overlap = DurationText.parse(overlap) else {
            throw ClientError(.usage, "--overlap \(overlap.quoted()) is not a duration; write something like 7d")
        }
        let now = Timestamp.now
        let key = AccessKey()
        let new = Caller.Key(key.digest, expires: try KeyLife.end(expires, "--expires"))
        let change = try KeyChange(options.settings())
        try change.replaceKeys(of: name) { old in
            let living = old.filter { $0.expires.map { $0 > now } ?? true }
            return living.map { Caller.Key($0.digest, expires: min($0.expires ?? .latest, now + overlap)) } + [new]
        }
        change.tell("its older keys stay valid until \((now + overlap).rfc3339) at most")
        try change.hand(key, new, of: name)
    }
}

struct RevokeKey: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke",
        abstract: "Revoke a key of a client, or all of them.",
        discussion: "The client and its file stay, so that `inferq key rotate` can give it a key again."
    )

    @Argument(help: "The name of the client.")
    var name: String

    @Argument(help: "The id of the key, as `inferq key list` shows it; by default all keys of the client.")
    var id: String?

    @OptionGroup
    var options: ConfigurationOptions

    func perform() async throws {
        let change = try KeyChange(options.settings())
        var revoked: [String] = []
        let client = try change.replaceKeys(of: name) { old throws(ClientError) in
            let rest = id == nil ? [] : old.filter { $0.id != id }
            revoked = old.filter { !rest.contains($0) }.map(\.id)
            guard !revoked.isEmpty else {
                let what = id == nil ? "no key" : "no key with this id"
                throw ClientError(.usage, "the client \(name) has \(what); inferq key list shows which there are")
            }
            return rest
        }
        try StandardOutput.write(line: "\(name) \(revoked.joined(separator: " ")) revoked")
        if id == nil, client.certificate != nil {
            change.tell("its certificate still stands for it; remove `certificate` from its table too")
        }
        change.finish()
    }
}

/// Until when a new key holds.
enum KeyLife {
    static func end(_ text: String?, _ flag: String) throws(ClientError) -> Timestamp? {
        guard let text else { return nil }
        guard let duration = DurationText.parse(text), duration > .zero else {
            throw ClientError(.usage, "\(flag) \(text.quoted()) is not a duration; write something like 90d")
        }
        return .now + duration
    }
}
