import CHiredis
import Glibc
import Synchronization

/// One blocking connection to Redis: the only place where a pointer of hiredis is touched.
///
/// A `redisContext` is not thread-safe, so a connection stays on the thread that has made it (it is not Sendable), and
/// after any error it is good for nothing: a late answer would be taken for that of the next command. ``Handle`` is what
/// other threads may hold.
final class RedisConnection {
    /// Ends a connection from another thread: a read that waits returns at once.
    final class Handle: Sendable {
        private let descriptor: Mutex<CInt?>

        fileprivate init(_ descriptor: CInt) {
            self.descriptor = Mutex(descriptor)
        }

        func interrupt() {
            descriptor.withLock { if let descriptor = $0 { _ = shutdown(descriptor, CInt(SHUT_RDWR)) } }
        }

        fileprivate func forget() {
            descriptor.withLock { $0 = nil }
        }
    }

    let handle: Handle
    private let context: UnsafeMutablePointer<redisContext>
    private let timeout: Duration
    private var heardAt = ContinuousClock.now

    /// Connects, authenticates and selects the database.
    ///
    /// - Parameter patience: how long an answer may take beyond the command timeout: for commands that wait.
    /// - Throws: ``RedisError``.
    init(_ address: RedisAddress, _ settings: RedisSettings, patience: Duration = .zero) throws(RedisError) {
        let made =
            switch address.place {
            case .tcp(let host, let port): try Self.connect(host, port, settings.connectTimeout)
            case .unix(let path): redisConnectUnixWithTimeout(path, timeval(settings.connectTimeout))
            }
        guard let made else { throw .unreachable("out of memory") }
        context = made
        handle = Handle(made.pointee.fd)
        timeout = settings.commandTimeout + patience
        guard made.pointee.err == 0 else { throw .unreachable(Self.reason(made)) }
        redisSetTimeout(made, timeval(timeout))
        if case .tcp = address.place { redisEnableKeepAlive(made) }
        if let password = address.password {
            let words = address.user.map { ["AUTH", $0, password] } ?? ["AUTH", password]
            try expectOK(RedisCommand(words), "AUTH")
        }
        if address.database != 0 { try expectOK(RedisCommand("SELECT", String(address.database)), "SELECT") }
    }

    deinit {
        handle.forget()
        redisFree(context)
    }

    /// Tries each address of a name in turn: hiredis alone takes IPv4 where there is one, and `localhost` has both.
    private static func connect(
        _ host: String, _ port: Int, _ timeout: Duration
    ) throws(RedisError) -> UnsafeMutablePointer<redisContext>? {
        let addresses = try NumericAddress.all(of: host)
        for address in addresses.dropLast() {
            guard let made = redisConnectWithTimeout(address, CInt(port), timeval(timeout)) else { return nil }
            if made.pointee.err == 0 { return made }
            redisFree(made)
        }
        return redisConnectWithTimeout(addresses.last ?? host, CInt(port), timeval(timeout))
    }

    /// How long the server has been silent.
    var silence: Duration { ContinuousClock.now - heardAt }

    private func expectOK(_ command: RedisCommand, _ name: String) throws(RedisError) {
        guard case .status = try run(command) else { throw .unexpected(name) }
    }

    /// Sends one command and waits for its answer.
    ///
    /// - Throws: ``RedisError``, for an error reply too; then the connection must no longer be used.
    func run(_ command: RedisCommand) throws(RedisError) -> RedisReply {
        try append(command)
        let reply = try next()
        if case .error(let text) = reply { throw .refused(text) }
        return reply
    }

    /// Puts a command into the pipeline; it goes out with the next ``next()``.
    func append(_ command: RedisCommand) throws(RedisError) {
        let code = command.bytes.withUnsafeBufferPointer { bytes in
            // An empty array may have no address, and a command has at least a name.
            guard let base = bytes.baseAddress else { return REDIS_ERR }
            var begin = 0
            var arguments: [UnsafePointer<CChar>?] = []
            var lengths: [Int] = []
            arguments.reserveCapacity(command.ends.count)
            lengths.reserveCapacity(command.ends.count)
            base.withMemoryRebound(to: CChar.self, capacity: bytes.count) { characters in
                for end in command.ends {
                    arguments.append(characters + begin)
                    lengths.append(end - begin)
                    begin = end
                }
            }
            return redisAppendCommandArgv(context, CInt(arguments.count), &arguments, &lengths)
        }
        guard code == REDIS_OK else { throw failure() }
    }

    /// The answer to the oldest command that has none yet.
    func next() throws(RedisError) -> RedisReply {
        var raw: UnsafeMutableRawPointer?
        guard redisGetReply(context, &raw) == REDIS_OK, let raw else { throw failure() }
        defer { freeReplyObject(raw) }
        heardAt = .now
        return Self.value(raw.assumingMemoryBound(to: redisReply.self))
    }

    private func failure() -> RedisError {
        let code = errno
        guard context.pointee.err != REDIS_ERR_IO || (code != EAGAIN && code != EWOULDBLOCK) else { return .hung }
        return .broken(Self.reason(context))
    }

    private static func reason(_ context: UnsafeMutablePointer<redisContext>) -> String {
        withUnsafeBytes(of: context.pointee.errstr) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    /// Arrays in arrays: what a stream is read with has four levels.
    private static let deepest = 8

    private static func value(_ reply: UnsafeMutablePointer<redisReply>, depth: Int = 0) -> RedisReply {
        switch reply.pointee.type {
        case REDIS_REPLY_INTEGER: return .integer(Int(reply.pointee.integer))
        case REDIS_REPLY_STATUS: return .status(text(reply))
        case REDIS_REPLY_ERROR: return .error(text(reply))
        case REDIS_REPLY_STRING:
            return .bytes(Array(UnsafeRawBufferPointer(start: reply.pointee.str, count: reply.pointee.len)))
        case REDIS_REPLY_ARRAY where depth < deepest:
            return .array(
                (0..<reply.pointee.elements).map { index in
                    reply.pointee.element[index].map { value($0, depth: depth + 1) } ?? .null
                }
            )
        default: return .null
        }
    }

    private static func text(_ reply: UnsafeMutablePointer<redisReply>) -> String {
        String(decoding: UnsafeRawBufferPointer(start: reply.pointee.str, count: reply.pointee.len), as: UTF8.self)
    }
}

private func timeval(_ duration: Duration) -> Glibc.timeval {
    let (seconds, attoseconds) = duration.components
    return Glibc.timeval(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
}
