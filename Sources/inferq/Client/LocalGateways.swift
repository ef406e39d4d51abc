import InferqHTTP

/// Where a command that needs the Unix socket looks for it, and the configuration that names the store.
struct LocalGateways {
    private let options: GatewayOptions
    private let config: String?

    init(_ options: GatewayOptions, config: String?) {
        self.options = options
        self.config = config
    }

    /// Whether the command line or the environment names the gateway. A configuration that is named on the command line
    /// comes before an address in the environment.
    var isNamed: Bool {
        options.url != nil || (config == nil && !(Environment["INFERQ_URL"] ?? "").isEmpty)
    }

    /// What was named; else the configured Unix sockets, then the usual addresses.
    func candidates() throws -> [GatewayAddress] {
        let usual = try GatewayAddress.candidates(flag: options.url, variable: Environment["INFERQ_URL"])
        // Another configuration means another gateway: the usual ones are not asked then.
        guard !isNamed, let settings = try? load() else { return usual }
        // That of root first: in mode keys what is asked here is to be had there alone.
        let listened = settings.listen.filter { $0.role == .admin } + settings.listen.filter { $0.role != .admin }
        let sockets = listened.compactMap { address -> GatewayAddress? in
            if case .unix(let path) = address.place { .unix(path: path) } else { nil }
        }
        if config != nil || !(Environment["INFERQ_CONFIG"] ?? "").isEmpty { return sockets }
        return sockets + usual.filter { !sockets.contains($0) }
    }

    /// For a gateway that is not reached by a Unix socket.
    func credentials() throws(ClientError) -> GatewayClient.Credentials { try options.credentials() }

    /// - Throws: the exit code of a wrong configuration, after its problems were said.
    func settings() throws -> Settings { try ConfigurationOptions.settings(config) }

    func load() throws(SettingsProblems) -> Settings { try ConfigurationOptions.load(config) }
}
