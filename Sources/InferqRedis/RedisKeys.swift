import InferqCore

/// The names of all keys and channels.
struct RedisKeys: Sendable {
    let prefix: String

    /// A set: the instance ids of gateways.
    var gateways: String { "\(prefix):gateways" }
    /// A set: the ids of workers.
    var workers: String { "\(prefix):workers" }

    /// A string that expires: a gateway's heartbeat.
    func gateway(_ instance: String) -> String { "\(prefix):gateway:\(instance)" }
    /// A stream: the messages of workers to a gateway.
    func inbox(ofGateway instance: String) -> String { "\(prefix):gateway:\(instance):in" }
    /// A stream with a consumer group: what a gateway offers of one model.
    func jobs(of instance: String, _ model: String) -> String { "\(prefix):gateway:\(instance):jobs:\(model)" }
    /// A string: the id of the last event that a gateway has published.
    func published(of instance: String) -> String { "\(prefix):gateway:\(instance):published" }
    /// A string that is written to see whether Redis takes writes.
    func probe(_ id: String) -> String { "\(prefix):probe:\(id)" }

    /// A string that expires: a worker's heartbeat.
    func worker(_ id: String) -> String { "\(prefix):worker:\(id)" }
    /// A stream: the messages of gateways to a worker.
    func inbox(ofWorker id: String) -> String { "\(prefix):worker:\(id):in" }

    /// A channel: the events of one job.
    func events(of eventID: UUIDv7) -> String { channel(of: eventID.description) }
    func channel(of text: String) -> String { "\(prefix):event:\(text)" }

    /// The one consumer group of each stream of jobs.
    static let group = "workers"
}
