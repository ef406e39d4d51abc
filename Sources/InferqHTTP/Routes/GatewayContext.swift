import InferqCore
import Logging

/// What a route knows beside the request itself.
struct GatewayContext: Sendable {
    let connection: Connection
    let caller: Caller
    let settings: HTTPSettings
    let parameters: PathParameters
    let logger: Logger

    /// Whether `Authorization` is for the model server, and not for the gateway: a key goes nowhere, also where none is needed.
    func mayForwardAuthorization(of request: Request) -> Bool {
        caller.key == nil && request.headers[.authorization].map { !$0.contains(AccessKey.prefix) } ?? true
    }

    /// Who makes the request, for the log.
    var who: Logger.Metadata {
        var who: Logger.Metadata = ["client": "\(caller.client)"]
        if let key = caller.key { who["key_id"] = "\(key.id)" }
        if case .network(let address?) = connection.origin { who["remote"] = "\(address)" }
        return who
    }

    /// Says in the log who has done something with a job.
    func note(_ deed: Logger.Message, _ job: UUIDv7, _ level: Logger.Level = .info) {
        guard level >= logger.logLevel else { return }
        logger.log(level: level, deed, metadata: who.merging(["job_id": "\(job)"]) { $1 })
    }

    /// The UUID in the path.
    ///
    /// - Throws: 400 when it is none.
    func uuid(_ parameter: String) throws(APIError) -> UUIDv7 {
        let text = parameters[parameter] ?? ""
        guard let id = UUIDv7(text) else { throw .invalidUUID(String(text)) }
        return id
    }
}
