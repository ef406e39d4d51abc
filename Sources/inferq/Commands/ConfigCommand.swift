import ArgumentParser
import Glibc
import InferqCore
import InferqHTTP
import InferqStore

/// `inferq config`: writes configuration files.
struct ConfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Write configuration files.", subcommands: [InitConfig.self])
}

struct InitConfig: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Write an initial file with the model servers that are found on this host.",
        discussion: """
            Asks what listens on ports of this host from 1024 up, with a few GETs that change nothing, and \
            recognizes llama.cpp's server, Ollama, vLLM, TGI, MLServer and Triton, other servers with OpenAI's API, and \
            FastAPI servers with one path for POST. Exit codes: 0 a file was written, 64 it already exists or its folder \
            does not, 69 no model server was found, 74 it cannot be written.
            """
    )

    @Argument(
        help: "The file to write; - for standard output.", completion: .file(extensions: ["toml"]))
    var file = Self.packaged

    @Option(help: "Ask only this port; may be repeated.")
    var port: [Int] = []

    @Flag(help: "Overwrite the file if it already exists.")
    var force = false

    private static let packaged = "/etc/inferq/conf.d/models.toml"
    /// Programs that take a GET for an attack, or answer it late: databases, brokers and desktops.
    private static let foreign: Set = [3306, 5432, 5672, 6379, 6380, 9092, 11211, 27017]
    /// On a host with more listeners, ports have to be named.
    private static let mostPorts = 256

    func validate() throws {
        for port in port where !(1...65535).contains(port) {
            throw ValidationError("--port \(port) is not a port; choose one from 1 to 65535")
        }
    }

    func perform() async throws {
        let target = try WholeFile(file, overwrites: force, mode: 0o644, isText: true)
        var ports = port.isEmpty ? Self.listening() : Array(Set(port)).sorted()
        if ports.count > Self.mostPorts {
            let rest = "\(ports.count - Self.mostPorts) more are not; name those that matter with --port"
            StandardError.write("the first \(Self.mostPorts) ports are asked, \(rest)")
            ports = Array(ports.prefix(Self.mostPorts))
        }
        StandardError.write("asking \(ports.count == 1 ? "1 port" : "\(ports.count) ports") of 127.0.0.1")
        let servers = try await Self.servers(at: ports)
        for server in servers { StandardError.write("found \(server.kind.visible(limit: 100)) at \(server.url)") }
        guard !servers.isEmpty else {
            throw ClientError(
                .unreachable,
                "no model server was found at \(Self.list(ports)); start one, name its port with --port, or write a "
                    + "table [models.NAME] by hand")
        }
        let isPackaged = file.hasPrefix("/etc/inferq/")
        let head = """
            # Model servers that inferq config init found on this host. Every setting: inferq.toml(5).

            """
        let store = isPackaged ? "" : "\n[store]\npath = \"inferq.db\"\n"
        try target.write(Array((head + store + FoundServer.toml(servers)).utf8))
        try target.finish()
        guard file != "-" else { return }
        let next =
            isPackaged
            ? "inferq check && systemctl reload inferq"
            : "inferq check --config \(file) && inferq serve --config \(file)"
        StandardError.write("wrote \(file.visible()); look at it, then: \(next.visible())")
    }

    /// Ports on which programs of this host listen, and which may be a model server's.
    private static func listening() -> [Int] {
        let sockets = ["tcp", "tcp6"].flatMap { name in
            ListeningSockets.sockets(in: KernelFile.text("/proc/net/\(name)") ?? "")
        }
        let ports = Set(sockets.map(\.port)).filter { $0 >= 1024 && !foreign.contains($0) }
        return ports.sorted()
    }

    /// In the order of their ports, all asked at a time.
    private static func servers(at ports: [Int]) async throws -> [FoundServer] {
        try await HTTPClient.withClient { http in
            await withTaskGroup { group in
                for port in ports {
                    group.addTask { await PortAnswers(asking: port, http).flatMap { (port, FoundServer($0)) } }
                }
                var found: [(port: Int, server: FoundServer)] = []
                for await case (let port, let server?)? in group { found.append((port, server)) }
                return found.sorted { $0.port < $1.port }.map(\.server)
            }
        }
    }

    private static func list(_ ports: [Int]) -> String {
        guard !ports.isEmpty else { return "any port, since nothing listens on one from 1024 up" }
        let shown = ports.prefix(10).map(String.init).joined(separator: ", ")
        let rest = ports.count > 10 ? " and \(ports.count - 10) more" : ""
        return (ports.count == 1 ? "port " : "ports ") + shown + rest
    }
}
