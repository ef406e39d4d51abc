import InferqCore

/// Reads the files of keys: `*.toml` in one folder, each with tables `[keys.NAME]`, and nothing else.
struct KeyFolder {
    /// A client, and the file that it stands in.
    struct Entry: Equatable {
        let client: Client
        let file: String
    }

    let path: String

    init(_ path: String) {
        self.path = path
    }

    /// All keys; none when there is no such folder.
    ///
    /// - Parameter problems: Gets every problem.
    func read(problems: ProblemList) -> KeyRing {
        KeyRing(entries(problems: problems).map(\.client))
    }

    /// The clients in the order of the files, then of their names.
    ///
    /// - Parameter problems: Gets every problem.
    func entries(problems: ProblemList) -> [Entry] {
        var entries: [Entry] = []
        for file in SettingsFiles.names(in: path, problems: problems) ?? [] {
            entries += clients(in: "\(path)/\(file)", problems).map { Entry(client: $0, file: "\(path)/\(file)") }
        }
        check(entries, problems)
        return entries
    }

    private func clients(in file: String, _ problems: ProblemList) -> [Client] {
        let node: SettingsNode?
        do throws(SettingsProblem) {
            node = try SettingsFiles.node(at: file)
        } catch {
            problems.add(error)
            return []
        }
        // Removed since the folder was read.
        guard let node else { return [] }
        var root = TableReader(node, path: [], problems: problems, credentials: Credentials(folder: nil))
        let table = root.table("keys", example: "[keys.NAME]")
        for name in root.keys where name != "keys" {
            let advice = "only tables [keys.NAME] belong here; move it to inferq.toml or conf.d"
            root.report(name, Refusal("unknown key", advice))
        }
        guard var table else { return [] }
        return table.keys.compactMap { client($0, &table) }
    }

    private func client(_ name: String, _ keys: inout TableReader) -> Client? {
        guard var table = keys.table(name, example: "[keys.NAME]") else { return nil }
        if !ClientName.isValid(name) {
            keys.report(name, Refusal("the name of a client cannot be written like this", Self.nameAdvice))
        }
        var client = Client(name)
        _ = table.read(Client.rows, into: &client)
        if !table.has("scopes") {
            table.report("scopes", Refusal("missing", "write something like [\"submit\", \"read\", \"cancel\"]"))
        }
        table.refuseUnknown()
        return client
    }

    static let nameAdvice =
        "use 1 to 64 letters, digits, dots, underscores and hyphens, a letter or digit first, and none of "
        + ClientName.reserved.joined(separator: ", ")

    /// What no client alone can tell.
    private func check(_ entries: [Entry], _ problems: ProblemList) {
        var byName: [String: Entry] = [:]
        var byID: [String: (key: Caller.Key, entry: Entry)] = [:]
        var byCertificate: [String: Entry] = [:]
        for entry in entries {
            let client = entry.client
            func report(_ key: String?, _ what: String, _ advice: String) {
                let place = TableReader.text(["keys", client.name] + (key.map { [$0] } ?? []))
                problems.add(SettingsProblem(entry.file, at: place, Refusal(what, advice)))
            }
            if let other = byName.updateValue(entry, forKey: client.name) {
                report(nil, "the client is in \(other.file.visible()) too", "keep one of the two tables")
                continue
            }
            for key in client.keys {
                guard let other = byID.updateValue((key, entry), forKey: key.id) else { continue }
                let place = "keys.\(other.entry.client.name) in \(other.entry.file.visible())"
                if other.key.digest == key.digest {
                    report("hashes", "the key \(key.id) also belongs to \(place)", "give each client a key of its own")
                } else {
                    let advice = "give the client another key with inferq key rotate, and revoke this one"
                    report("hashes", "the key \(key.id) has the same id as another key, of \(place)", advice)
                }
            }
            if let name = client.certificate, let other = byCertificate.updateValue(entry, forKey: name) {
                let place = "keys.\(other.client.name) in \(other.file.visible())"
                report("certificate", "the name also stands for \(place)", "give each client a certificate of its own")
            }
        }
    }
}
