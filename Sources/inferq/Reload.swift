import InferqCore
import InferqHTTP
import InferqQueue
import InferqRedis
import Logging
import ServiceLifecycle

/// Reads the configuration again at SIGHUP. A broken one is refused, and the old settings stay.
struct Reload: Service {
    let flags: SettingsFlags
    let environment: [String: String]
    let live: Live<Settings>
    let queue: JobQueue
    let http: Live<HTTPSettings>
    let worker: Worker
    let redis: RedisService?
    let threshold: LogThreshold
    let logger: Logger

    func run() async throws {
        for await _ in await StartSignals.hangUps().cancelOnGracefulShutdown() {
            Systemd.notify(Systemd.reloading())
            await reload()
            Systemd.notify("READY=1")
        }
    }

    private func changes(of new: Settings, _ old: Settings) -> Logger.Metadata {
        var metadata: Logger.Metadata = ["models": .stringConvertible(new.models.count)]
        let added = Set(new.models.keys).subtracting(old.models.keys).sorted()
        let removed = Set(old.models.keys).subtracting(new.models.keys).sorted()
        if !added.isEmpty { metadata["added"] = .array(added.map { "\($0)" }) }
        if !removed.isEmpty { metadata["removed"] = .array(removed.map { "\($0)" }) }
        return metadata
    }

    private func reload() async {
        do {
            let new = try Settings.load(environment: environment, flags: flags)
            let old = live.current
            try await queue.store.add(models: new.modelList.map(\.name))
            live.current = new
            threshold.level = new.logLevel
            http.current = new.affordableHTTP
            queue.store.disk.minFree = new.store.minFree
            queue.configure(new.modelList)
            worker.modelsChanged()
            redis?.setModels(new.modelList.map(\.name))
            let fixed = Settings.rows.filter { $0.effect == .restart && $0.hasChanged(from: old, to: new) }
            if !fixed.isEmpty {
                logger.warning(
                    "some changed settings take effect at the next start only",
                    metadata: ["settings": "\(fixed.map(\.key).joined(separator: ", "))"]
                )
            }
            for warning in new.warnings { logger.warning("\(warning)") }
            logger.notice("configuration reloaded", metadata: changes(of: new, old))
        } catch let problems as SettingsProblems {
            for problem in problems.all {
                logger.error("the new configuration is refused, the old one stays", metadata: ["problem": "\(problem)"])
            }
        } catch {
            logger.error("the reload failed, the old settings stay", metadata: ["error": "\(error)"])
        }
    }
}
