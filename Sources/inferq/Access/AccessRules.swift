import InferqHTTP

/// What the mode of access forbids: listeners and a Redis at which everyone on a network would be let in.
struct AccessRules {
    private let settings: Settings
    private let flags: SettingsFlags

    init(_ settings: Settings, _ flags: SettingsFlags) {
        self.settings = settings
        self.flags = flags
    }

    /// What is forbidden, each with the path of the setting that forbids it.
    var refusals: [(path: [String], refusal: Refusal)] {
        guard flags.sockets != .unneeded else { return [] }
        return [openListener, strangeRedis].compactMap { $0 }
    }

    /// The addresses at which other hosts reach what is listened on, or will be at the next start.
    private var openAddresses: [String] {
        let own = [.own, .either].contains(flags.sockets) ? settings.listen : []
        var addresses: [String] = []
        for endpoint in flags.listening + own {
            guard let address = NetworkReach.address(of: endpoint), !addresses.contains(address) else { continue }
            addresses.append(address)
        }
        return addresses
    }

    private var openListener: (path: [String], refusal: Refusal)? {
        guard settings.access.mode == .open, !settings.access.openNetwork else { return nil }
        let addresses = openAddresses
        guard !addresses.isEmpty else { return nil }
        let refusal = Refusal(
            "\"open\" lets everyone who reaches \(addresses.joined(separator: " or ")) submit, read and cancel",
            "make a key for each client (inferq key add NAME) and set it to \"keys\", or set access.open_network = true "
                + "if everyone on that network may do so"
        )
        return (["access", "mode"], refusal)
    }

    /// Anyone who is on the Redis reads all events and speaks as a worker, with no key.
    private var strangeRedis: (path: [String], refusal: Refusal)? {
        guard settings.access.mode == .keys, !settings.broker.trusted, let redis = settings.redisInUse,
            case .tcp(let host, _) = redis.place, !NetworkReach.isLoopback(host)
        else { return nil }
        let refusal = Refusal(
            "everyone on the Redis at \(host) can read all events and speak as a worker, without a key",
            "use a Unix socket, a loopback address or a tunnel such as stunnel, or set broker.trusted = true if no one else "
                + "uses it"
        )
        return (["broker", "redis"], refusal)
    }
}
