import InferqCore
import Logging

/// What a route knows beside the request itself.
struct GatewayContext: Sendable {
    let connection: Connection
    let settings: HTTPSettings
    let parameters: PathParameters
    let logger: Logger

    /// The UUID in the path.
    ///
    /// - Throws: 400 when it is none.
    func uuid(_ parameter: String) throws(APIError) -> UUIDv7 {
        let text = parameters[parameter] ?? ""
        guard let id = UUIDv7(text) else { throw .invalidUUID(String(text)) }
        return id
    }
}
