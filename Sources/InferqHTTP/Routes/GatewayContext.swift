import HTTPTypes
import Hummingbird
import Logging

/// What a route knows beside the request itself.
struct GatewayContext: RequestContext {
    struct Source: RequestContextSource {
        let connection: Connection
        let settings: HTTPSettings
        let logger: Logger
    }

    var coreContext: CoreRequestContextStorage
    let connection: Connection
    let settings: HTTPSettings

    init(source: Source) {
        coreContext = CoreRequestContextStorage(source: source)
        connection = source.connection
        settings = source.settings
    }
}
