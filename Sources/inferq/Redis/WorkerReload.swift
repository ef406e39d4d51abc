import Logging
import ServiceLifecycle

/// Reads a worker's configuration again at SIGHUP. The log level changes at once; all else is fixed for as long as the
/// worker runs, since its gateways were told of it, and a line says so.
struct WorkerReload: Service {
    let flags: SettingsFlags
    let environment: [String: String]
    let started: Settings
    let threshold: LogThreshold
    let logger: Logger

    func run() async throws {
        for await _ in await StartSignals.hangUps().cancelOnGracefulShutdown() {
            Systemd.notify(Systemd.reloading())
            reload()
            Systemd.notify("READY=1")
        }
    }

    private func reload() {
        let new: Settings
        do {
            new = try Settings.load(environment: environment, flags: flags)
        } catch {
            for problem in error.all {
                logger.error("the new configuration is refused, the old one stays", metadata: ["problem": "\(problem)"])
            }
            return
        }
        threshold.level = new.logLevel
        var unchanged = new
        unchanged.logLevel = started.logLevel
        if unchanged == started {
            logger.notice("configuration reloaded", metadata: ["log_level": "\(new.logLevel)"])
        } else {
            logger.warning("the configuration has changed: restart the worker; a reload applies only its log level")
        }
    }
}
