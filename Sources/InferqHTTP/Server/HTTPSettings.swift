/// What the HTTP server must know; the configuration's reader has checked it. All of it may change while the server runs.
package struct HTTPSettings: Sendable, Equatable {
    /// Names accepted in `Host` beside IP addresses and `localhost`, in lower case.
    package var hosts: [String] = []
    /// Browser origins that may call from elsewhere, as browsers write them.
    package var origins: [String] = []
    /// How long `POST /v1/inference` waits: less than the 60 s after which nginx and other proxies give up.
    package var syncWait: Duration = .seconds(55)
    /// Bytes of a request's body.
    package var maxBody = 16 << 20
    /// Bytes of the body of a call, and of a multipart submit: they go to a file, and never are in memory whole.
    package var maxUpload = 256 << 20
    /// How long after its client has gone a plain call can be taken up by a repeat of it.
    package var repeatWindow: Duration = .seconds(60)
    /// A silent stream gets a comment line after this long.
    package var heartbeat: Duration = .seconds(15)
    /// Past it requests are answered with 503.
    package var connections = 4096
    /// Connections past `connections` that are kept until their request has its 503; later ones are closed at once. No
    /// setting: it follows from the limit of open files.
    package var refusals = 64
    /// The whole head, from the accept; a later one from its first byte.
    package var headTimeout: Duration = .seconds(10)
    /// Bytes of a request's head.
    package var head = 64 << 10
    package var headerFields = 100
    /// Bytes of the target in the request line.
    package var target = 16 << 10
    /// Bytes per second that a body must bring on average, after ten seconds; 0: any.
    package var bodyMinRate = 1 << 10
    /// How long a kept-alive connection may be without a request.
    package var idleTimeout: Duration = .seconds(75)
    /// How long a listener may leave a frame unread.
    package var listenerTimeout: Duration = .seconds(10)
    /// Silence on a TCP connection after which the kernel asks whether the client still lives; it is dead when nothing
    /// has come for three times as long. Read at the start.
    package var keepalive: Duration = .seconds(15)
    /// Bytes of request bodies that are held in memory at a time.
    package var bodiesInFlight = 128 << 20
    /// Progress reports that one job may have.
    package var eventsPerJob = 10_000
    package var batch = BatchSettings()

    /// `GET ?wait=` waits at most this long: longer polls die in proxies.
    static let longestWait: Duration = .seconds(120)

    /// Connections of one address that may be accepted and not counted yet: see ``AcceptGate``.
    package static let acceptsUnderWay = 2 * AcceptGate.atOnce - 1

    /// For the head on a connection that will be refused: it takes the place of others that could be told.
    static let refusalTimeout: Duration = .seconds(2)

    package init() {}
}
