import ArgumentParser
import Glibc
import InferqCore
import InferqStore
import NIOHTTP1

/// `inferq backup`: a consistent copy of the store as an archive, through the gateway if one runs.
struct BackupCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        abstract: "Write a consistent copy of the store to a tar archive while the gateway keeps running.",
        discussion: """
            Through the gateway, on its Unix socket. Where none runs, from the store that the configuration names. The \
            archive holds inferq.db and blobs/; docs/operations.md says how to restore it.
            """
    )

    @Argument(help: "The archive to write, for example /var/backups/inferq.tar; - for standard output.")
    var file: String

    @Flag(help: "Overwrite the file.")
    var force = false

    @Option(
        help: "The one configuration file to read, instead of /etc/inferq.",
        completion: .file(extensions: ["toml"]))
    var config: String?

    @OptionGroup
    var gateway: GatewayOptions

    func perform() async throws {
        let target = try WholeFile(file, overwrites: force)
        let gateways = LocalGateways(gateway, config: config)
        do {
            // A large store is copied before the first byte comes. A gateway that dies closes its socket at once.
            try await GatewayClient.withClient(
                of: try gateways.candidates(), try gateways.credentials(), silence: .seconds(24 * 3600)
            ) { client in
                try await fetch(from: client, to: target)
            }
        } catch let error as ClientError where error.cause == .unreachable && !gateways.isNamed {
            try await copyIdleStore(gateways.settings(), to: target, unreachable: error)
        }
    }

    private func fetch(from client: GatewayClient, to target: WholeFile) async throws {
        let progress = BackupProgress()
        progress.show("copying the database", received: 0, of: nil)
        defer { progress.clear() }
        let answer = try await client.get("/v1/store/backup")
        guard answer.contentType == "application/x-tar", let length = answer.headers.first(name: "Content-Length"),
            let total = Int(length)
        else {
            throw ClientError(
                .unreadable, "what answers at \(client.address) gives no backup; name a gateway with --url")
        }
        var received = 0
        do {
            try await client.read(answer) { bytes in
                received += bytes.count
                try target.write(bytes)
                progress.show("backup", received: received, of: total)
                return true
            }
        } catch let error as ClientError where error.cause == .broken {
            throw ClientError(.broken, "the backup was cut off after \(received) of \(total) bytes; try again")
        }
        guard received == total else {
            throw ClientError(.broken, "the backup was cut off after \(received) of \(total) bytes; try again")
        }
        try target.finish()
        progress.clear()
        let missing = answer.headers.first(name: "Inferq-Missing-Blobs").flatMap { Int($0) } ?? 0
        try tell(received, missing: missing)
    }

    private func copyIdleStore(_ settings: Settings, to target: WholeFile, unreachable: ClientError) async throws {
        do {
            let store = try IdleStore(path: settings.store.path)
            defer { store.close() }
            let progress = BackupProgress()
            defer { progress.clear() }
            progress.show("copying the database", received: 0, of: nil)
            let copy = try await store.copy(leaving: 0)
            var received = 0
            try await copy.archive { bytes in
                received += bytes.count
                try target.write(bytes)
                progress.show("backup", received: received, of: copy.figures.archiveBytes)
            }
            try target.finish()
            progress.clear()
            try tell(received, missing: copy.figures.missing + copy.figures.torn)
        } catch StoreError.held(let path) {
            let advice = "add a Unix socket to its setting listen, or name its address with --url"
            StandardError.write(
                "inferq: a gateway holds the store \(path.visible()) and answers on no Unix socket known here; \(advice)"
            )
            throw Exit.cannotCreate
        } catch let error as StoreError {
            StandardError.write("inferq: \("\(error)".visible())")
            throw error.exitCode
        } catch StoreCopy.Refusal.noRoom(let needed, let free) {
            let sizes = "\(Amount.bytes(needed)), \(Amount.bytes(free)) are free"
            StandardError.write("inferq: a copy temporarily needs room on the store's disk: \(sizes); make room")
            throw Exit.cannotCreate
        }
    }

    private func tell(_ received: Int, missing: Int) throws {
        if missing > 0 {
            let what = "\(missing) files in blobs/ are missing or truncated in the store, and so in the backup"
            StandardError.write("inferq: \(what); see inferq doctor")
        }
        if file != "-" { try StandardOutput.write(line: "\(file.visible()): \(Amount.bytes(received))") }
    }
}

/// One line on standard error that says how far a backup is; nothing where that is not a terminal.
final class BackupProgress {
    private let terminal = Terminal(STDERR_FILENO)
    private var last: ContinuousClock.Instant?

    func show(_ what: String, received: Int, of total: Int?) {
        guard let terminal, last.map({ .now - $0 > .milliseconds(100) }) ?? true else { return }
        last = .now
        var text = what
        if let total, total > 0 {
            let percent = received * 100 / total
            text += "  \(percent) %  \(Amount.bytes(received)) of \(Amount.bytes(total))"
        }
        terminal.write("\r" + text.fitted(to: terminal.columns - 1) + "\u{1B}[K")
    }

    func clear() {
        guard last != nil else { return }
        last = nil
        terminal?.write("\r\u{1B}[K")
    }
}
