import Logging
import ServiceLifecycle
import UnixSignals

extension ServiceGroup {
    /// The services of a process, which runs until SIGTERM or SIGINT, or until one of them ends: then they are stopped from
    /// last to first, each awaited.
    static func ofProcess(_ services: [any Service]) -> ServiceGroup {
        ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: services.map {
                    ServiceGroupConfiguration.ServiceConfiguration(
                        service: $0,
                        successTerminationBehavior: .gracefullyShutdownGroup,
                        failureTerminationBehavior: .gracefullyShutdownGroup
                    )
                },
                gracefulShutdownSignals: [.sigterm, .sigint],
                logger: Logger(label: "inferq.services") { _ in SwiftLogNoOpLogHandler() }
            )
        )
    }
}
