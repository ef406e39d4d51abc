/// Checks once whether Redis can be used as it is configured; the caller can wait for the answer.
package enum RedisCheck {
    /// What was found.
    package struct Finding: Sendable, Equatable {
        /// The `maxmemory-policy` if it is one that may lose keys.
        package var riskyPolicy: String?
        /// Commands that are used and refused, with what they were tried on, and Redis's words.
        package var refused: [(command: String, place: String, reason: String)] = []

        package static func == (left: Finding, right: Finding) -> Bool {
            left.riskyPolicy == right.riskyPolicy && left.refused.map(\.command) == right.refused.map(\.command)
        }
    }

    /// Connects, and does all that gateways and workers do, on keys and a channel beside theirs. Blocks for as long as the
    /// timeouts say.
    ///
    /// - Parameter id: of this look: part of the keys, which expire or are deleted.
    /// - Throws: ``RedisError``, which holds no secrets.
    package static func examine(
        _ address: RedisAddress,
        _ settings: RedisSettings,
        id: String
    ) throws(RedisError) -> Finding {
        // Commands that wait in Redis do so for a moment.
        let connection = try RedisConnection(address, settings, patience: .milliseconds(10))
        var finding = Finding()
        for (command, place) in commands(RedisKeys(prefix: settings.prefix), id) {
            try connection.append(command)
            let reply = try connection.next()
            guard case .error(let text) = reply else { continue }
            // What one refusal leads to is no further trouble.
            guard !text.hasPrefix("NOGROUP"), !finding.refused.contains(where: { $0.command == command.name }) else {
                continue
            }
            finding.refused.append((command.name, place, RedisError.refused(text).description))
        }
        finding.riskyPolicy = try riskyPolicy(connection)
        return finding
    }

    /// Every command that is used, once at least for each kind of key.
    private static func commands(_ keys: RedisKeys, _ id: String) -> [(RedisCommand, String)] {
        let jobs = keys.jobs(of: id, "doctor")
        let inboxes = [keys.inbox(ofGateway: id), keys.inbox(ofWorker: id)]
        let heartbeats = [keys.gateway(id), keys.worker(id), keys.probe(id)]
        let sets = [keys.gateways, keys.workers]
        let channel = keys.channel(of: "doctor")
        var list: [(RedisCommand, String)] = [(RedisCommand("PING"), "")]
        func add(_ words: String..., at key: String) { list.append((RedisCommand(words), key)) }
        for key in heartbeats {
            add("SET", key, "", "PX", "1000", at: key)
            add("GET", key, at: key)
            add("MGET", key, at: key)
            add("DEL", key, at: key)
        }
        add("SET", keys.published(of: id), "0", "EX", "1", at: keys.published(of: id))
        for key in sets {
            add("SADD", key, id, at: key)
            add("SMEMBERS", key, at: key)
            add("SREM", key, id, at: key)
        }
        for key in inboxes {
            add("XADD", key, "MAXLEN", "~", "1", "*", "word", "doctor", at: key)
            add("XREVRANGE", key, "+", "-", "COUNT", "1", at: key)
            add("XREAD", "COUNT", "1", "BLOCK", "1", "STREAMS", key, "0-0", at: key)
            add("XDEL", key, "1-1", at: key)
            add("EXPIRE", key, "60", at: key)
            add("DEL", key, at: key)
        }
        add("XGROUP", "CREATE", jobs, RedisKeys.group, "0", "MKSTREAM", at: jobs)
        add("XADD", jobs, "NOMKSTREAM", "*", "job", "doctor", at: jobs)
        add("XLEN", jobs, at: jobs)
        add("XRANGE", jobs, "-", "+", "COUNT", "1", at: jobs)
        add("XREADGROUP", "GROUP", RedisKeys.group, id, "COUNT", "1", "BLOCK", "1", "STREAMS", jobs, ">", at: jobs)
        add("XPENDING", jobs, RedisKeys.group, "IDLE", "1", "-", "+", "1", at: jobs)
        add("XACK", jobs, RedisKeys.group, "1-1", at: jobs)
        add("XDEL", jobs, "1-1", at: jobs)
        add("XGROUP", "DELCONSUMER", jobs, RedisKeys.group, id, at: jobs)
        add("DEL", jobs, at: jobs)
        add("PUBLISH", channel, "{}", at: channel)
        return list
    }

    static func riskyPolicy(_ connection: RedisConnection) throws(RedisError) -> String? {
        try connection.append(RedisCommand("CONFIG", "GET", "maxmemory-policy"))
        // A user of an ACL may not be allowed to ask; then the policy is unknown.
        guard let policy = try connection.next().elements.last?.text, policy != "noeviction" else { return nil }
        return policy
    }
}
