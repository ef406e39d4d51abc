import Foundation
import InferqCore
import InferqHTTP
import InferqStore

extension Settings {
    /// What is allowed, works, and is seldom wise, one sentence each: for anyone who asks, and not for the log.
    var advice: [String] {
        var sentences = sameServers + sharedNames + unwatchedServers
        if store.synchronous == .normal {
            sentences.append(
                "store.synchronous is \"normal\", so a power cut may lose jobs that were acknowledged; \"full\" loses none"
            )
        }
        if let kind = FileSystemKind(of: store.path)?.trouble {
            sentences.append("store.path \(kind); name a folder on a disk of this host")
        }
        if retention.age == .zero {
            let size = ByteSizeText.format(retention.maxBytes)
            sentences.append(
                "store.retention is 0, so ended jobs stay until they have \(size); name a time, such as \"7d\", to keep less"
            )
        }
        if logLevel < .info {
            sentences.append(
                "log_level is \"\(logLevel.rawValue)\", which writes lines for every request; go back to \"info\" when "
                    + "you have found what you were looking for")
        }
        return sentences
    }

    /// Two tables with one server call it as often as both allow together.
    private var sameServers: [String] {
        let models = modelList.filter { !$0.url.isEmpty }
        return Dictionary(grouping: models, by: \.url).values.filter { $0.count > 1 }.sorted { $0[0].name < $1[0].name }
            .map { same in
                let names = same.map { "models.\($0.name)" }.joined(separator: " and ")
                let count = same.reduce(0) { $0 + $1.concurrency }
                return
                    "\(names) have the same url, so their server gets up to \(count) calls at a time; one table with "
                    + "names = [...] keeps them in one queue"
            }
    }

    /// A name that two tables of a dialect answer to is refused.
    private var sharedNames: [String] {
        let models = modelList.filter { $0.dialect != .none }
        return models.indices.flatMap { index in
            models[(index + 1)...].compactMap { other -> String? in
                let one = models[index]
                guard one.dialect == other.dialect else { return nil }
                let shared =
                    other.names.first { one.hasName($0) } ?? one.names.first { other.hasName($0) }
                return shared.map {
                    "models.\(one.name) and models.\(other.name) both have the name \($0.quoted()) of dialect "
                        + "\"\(one.dialect.rawValue)\", and a call that uses it could go to either; leave it to one of them"
                }
            }
        }
    }

    private var unwatchedServers: [String] {
        let health: [Dialect: String] = [
            .openai: "/health", .ollama: "/api/version", .kserve: "/v2/health/ready",
        ]
        return modelList.compactMap { model in
            guard model.health.isEmpty, !model.url.isEmpty, let path = health[model.dialect] else { return nil }
            return
                "models.\(model.name) has no health, so a server that is loading is noticed only when calls fail; "
                + "add health = \"\(path)\" if it has that path"
        }
    }
}

/// The type of the file system that holds a path, as the kernel names it: `ext4`, `tmpfs`, `nfs4`.
struct FileSystemKind: Equatable {
    let name: String

    /// Nil where the kernel does not tell.
    init?(of path: String) {
        guard let table = KernelFile.text("/proc/self/mountinfo") else { return nil }
        let url = URL(fileURLWithPath: path).deletingLastPathComponent().resolvingSymlinksInPath()
        self.init(of: url.path, in: table)
    }

    /// - Parameter table: proc_pid_mountinfo(5): `36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw`.
    init?(of folder: String, in table: String) {
        var found: (place: String, name: String)?
        for line in table.split(separator: "\n") {
            let halves = line.split(separator: " - ", maxSplits: 1).map { $0.split(separator: " ") }
            guard halves.count == 2, halves[0].count > 4, let name = halves[1].first else { continue }
            let place = halves[0][4].replacing("\\040", with: " ")
            let holds = folder == place || folder.hasPrefix(place.hasSuffix("/") ? place : place + "/")
            // Of two on one place, the later one hides the other.
            if holds, place.utf8.count >= found?.place.utf8.count ?? 0 { found = (String(place), String(name)) }
        }
        guard let found else { return nil }
        name = found.name
    }

    /// Why no store should be on it; nil if it may.
    var trouble: String? {
        switch name {
        case "tmpfs", "ramfs": "is in memory (\(name)), so a power cut loses every job"
        case "nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "fuse.sshfs":
            "is on a network file system (\(name)), where neither locks nor syncs can be trusted"
        default: nil
        }
    }
}
