/// Whether Redis can be used as it is configured: for whoever asks once, and may wait for the answer.
package enum RedisCheck {
    /// Connects, and writes as a gateway would. Blocks for as long as the timeouts say.
    ///
    /// - Returns: the `maxmemory-policy` if it is one that may lose keys, else nil.
    /// - Throws: ``RedisError``, which holds no secrets.
    package static func riskyPolicy(_ settings: RedisSettings) throws(RedisError) -> String? {
        let connection = try RedisConnection(settings)
        let key = RedisKeys(prefix: settings.prefix).probe("doctor")
        guard case .status = try connection.run(RedisCommand("SET", key, "1", "PX", "1000")) else {
            throw .unexpected("SET")
        }
        return try riskyPolicy(connection)
    }

    static func riskyPolicy(_ connection: RedisConnection) throws(RedisError) -> String? {
        try connection.append(RedisCommand("CONFIG", "GET", "maxmemory-policy"))
        // A user of an ACL may not be allowed to ask; then nobody can tell.
        guard let policy = try connection.next().elements.last?.text, policy != "noeviction" else { return nil }
        return policy
    }
}
