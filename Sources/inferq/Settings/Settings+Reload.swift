extension Settings {
    /// The key paths whose change takes effect only when the gateway starts anew, in the file's order.
    ///
    /// All others can change under a running gateway: models, limits, waits, sizes of the retention, the log level.
    func changesNeedingRestart(from old: Settings) -> [String] {
        Self.fixed.filter { $0.hasChanged(old, self) }.map(\.path)
    }

    private struct FixedKey: Sendable {
        let path: String
        let hasChanged: @Sendable (Settings, Settings) -> Bool

        init(_ path: String, _ value: @escaping @Sendable (Settings) -> some Equatable & Sendable) {
            self.path = path
            hasChanged = { value($0) != value($1) }
        }
    }

    private static let fixed = [
        FixedKey("listen") { $0.listen },
        FixedKey("public_url") { $0.publicURL },
        FixedKey("log_format") { $0.logFormat },
        FixedKey("limits.keepalive") { $0.limits.keepalive },
        FixedKey("store.path") { $0.store.path },
        FixedKey("store.synchronous") { $0.store.synchronous },
        FixedKey("store.ballast") { $0.store.ballast },
        FixedKey("store.readers") { $0.store.readers },
        FixedKey("store.wal_limit") { $0.store.walLimit },
        FixedKey("broker.kind") { $0.broker.kind },
        FixedKey("broker.redis") { $0.broker.redis },
        FixedKey("broker.ring_capacity") { $0.broker.ringCapacity },
        FixedKey("broker.prefix") { $0.broker.prefix },
        FixedKey("broker.connect_timeout") { $0.broker.connectTimeout },
        FixedKey("broker.command_timeout") { $0.broker.commandTimeout },
        FixedKey("broker.probe_interval") { $0.broker.probeInterval },
        FixedKey("broker.heartbeat") { $0.broker.heartbeat },
        FixedKey("broker.worker_timeout") { $0.broker.workerTimeout },
        FixedKey("broker.worker_grace") { $0.broker.workerGrace },
    ]
}
