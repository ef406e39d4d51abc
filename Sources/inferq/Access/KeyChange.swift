import Foundation
import Glibc
import InferqCore

/// One change of the files of keys, and what is said of it on standard error.
final class KeyChange {
    private let settings: Settings
    private let keys: KeyFolder
    /// Held until the change is done.
    private let folder: LockedFolder
    private let entries: [KeyFolder.Entry]
    private let problems: [SettingsProblem]

    /// - Throws: ``ClientError`` if the folder cannot be used.
    init(_ settings: Settings) throws(ClientError) {
        self.settings = settings
        keys = KeyFolder(settings.access.keys)
        folder = try KeyFile.folder(keys.path)
        let list = ProblemList()
        entries = keys.entries(problems: list)
        problems = list.all
    }

    /// Makes a file for a new client.
    ///
    /// - Throws: ``ClientError`` if there is such a client or such a file.
    func add(_ client: Client) throws {
        if let entry = entries.first(where: { $0.client.name == client.name }) {
            throw ClientError(
                .usage,
                "the client \(client.name) is already in \(entry.file.visible()); inferq key rotate \(client.name) gives it "
                    + "another key")
        }
        let file = "\(keys.path)/\(client.name).toml"
        var status = stat()
        guard lstat(file, &status) != 0 else {
            throw ClientError(
                .usage, "\(file.visible()) exists and does not hold this client; move it away, or edit it")
        }
        try KeyFile(path: file).write(KeyText(client).text, in: folder)
        for name in client.limits.models where settings.models[name] == nil {
            tell("no model is called \(name.visible()) yet")
        }
    }

    /// Changes a client's keys, and nothing else in its file.
    ///
    /// - Throws: ``ClientError``, or the exit code of a wrong file after its problems were said.
    @discardableResult
    func replaceKeys(of name: String, _ change: ([Caller.Key]) throws -> [Caller.Key]) throws -> Client {
        guard let entry = entries.first(where: { $0.client.name == name }) else {
            let own = problems.filter { $0.source.hasSuffix("/\(name).toml") }
            guard own.isEmpty else { throw ConfigurationOptions.refuse(own) }
            throw ClientError(
                .usage, "there is no client \(name.quoted()) in \(keys.path.visible()); inferq key add creates one")
        }
        let own = problems.filter { $0.source == entry.file }
        guard own.isEmpty else { throw ConfigurationOptions.refuse(own) }
        let new = try change(entry.client.keys)
        guard new != entry.client.keys else { return entry.client }
        do {
            guard let bytes = try SettingsFiles.contents(of: entry.file, largest: SettingsFiles.largest) else {
                throw ClientError(.usage, "\(entry.file.visible()) was removed in the meantime; try again")
            }
            var text = KeyText(String(decoding: bytes, as: UTF8.self))
            try text.replace(entry.client.keys, of: name, with: new)
            try KeyFile(path: entry.file).write(text.text, in: folder)
        } catch let refusal as Refusal {
            throw ClientError(.cannotCreate, "\(entry.file.visible()) \(refusal.what); \(refusal.advice)")
        } catch is KeyText.NotEditable {
            throw ClientError(
                .usage,
                "\(entry.file.visible()) is written so that its hashes cannot be changed without the rest; write the client as "
                    + "a table \(TableReader.header(["keys", name])) with a list `hashes`")
        }
        return entry.client
    }

    func tell(_ sentence: String) {
        StandardError.write("inferq: \(sentence)")
    }

    /// Prints a new key, the only time that anybody sees it, and says what to do with it.
    func hand(_ key: AccessKey, _ hash: Caller.Key, of name: String) throws {
        try StandardOutput.write(line: key.text)
        let until = hash.expires.map { "until \($0.rfc3339)" } ?? "until it is revoked"
        tell(
            "this is the key \(hash.id) of \(name), which is valid \(until); it is shown only once: give it to the client, which "
                + "sends it as Authorization: Bearer KEY (inferq commands take it from INFERQ_KEY or INFERQ_KEY_FILE)")
        finish()
    }

    /// Asks the gateway to read the files, and says what keeps it from doing so.
    func finish() {
        if settings.access.mode == .open {
            tell("access.mode is \"open\", so no one is asked for a key; set it to \"keys\"")
        }
        let list = ProblemList()
        _ = keys.read(problems: list)
        for problem in list.all { tell("the gateway refuses its keys until this is fixed: \(problem)") }
        tell(GatewayReload.ask(store: settings.store.path).sentence(of: "keys"))
    }
}
