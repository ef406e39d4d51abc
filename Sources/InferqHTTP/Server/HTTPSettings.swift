import Synchronization

/// What the listener must know. All of it may change while it runs.
package struct HTTPSettings: Sendable, Equatable {
    /// Names accepted in `Host` beside IP addresses and `localhost`.
    package var hosts: [String] = []
    /// Browser origins that may call from elsewhere.
    package var origins: [String] = []
    /// How long `POST /v1/inference` waits: less than the 60 s after which nginx and other proxies give up.
    package var syncWait: Duration = .seconds(55)
    package var maxBody = 16 << 20
    /// A silent stream gets a comment line after this long.
    package var heartbeat: Duration = .seconds(15)
    /// Past it requests are answered with 503.
    package var connections = 4096
    /// Connections past `connections` that are kept until their request has its 503; later ones are closed at once.
    package var refusals = 64
    /// The whole head, from the accept; a later one from its first byte.
    package var headTimeout: Duration = .seconds(10)
    package var head = 64 << 10
    package var headerFields = 100
    package var target = 16 << 10
    /// Bytes per second that a body must bring on average, after ten seconds.
    package var bodyMinRate = 1 << 10
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

    /// Free bytes of the store's disk that a copy of it leaves.
    package var minFree = 256 << 20

    /// `GET ?wait=` waits at most this long: longer polls die in proxies.
    static let longestWait: Duration = .seconds(120)

    /// For the head on a connection that will be refused: it takes the place of others that could be told.
    static let refusalTimeout: Duration = .seconds(2)

    package init() {}
}

/// Settings that a reload replaces under running requests; each request reads them once.
package final class LiveHTTPSettings: Sendable {
    private let value: Mutex<HTTPSettings>

    package init(_ settings: HTTPSettings) {
        value = Mutex(settings)
    }

    package var current: HTTPSettings {
        get { value.withLock { $0 } }
        set { value.withLock { $0 = newValue } }
    }
}
