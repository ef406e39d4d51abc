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
    let access: AccessControl
    let identity: Live<TLSIdentity?>
    let worker: Worker
    let redis: RedisService?
    let threshold: LogThreshold
    /// Rung once a reload is over: the status line may be another one.
    let statusChanges: Bell
    let logger: Logger

    func run() async throws {
        for await _ in await StartSignals.hangUps().cancelOnGracefulShutdown() {
            Systemd.notify(Systemd.reloading())
            await reload()
            Systemd.notify("READY=1")
            statusChanges.ring(.event)
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

    /// The keys alone, by the settings in force: one that was revoked must not stay good for a fault elsewhere.
    private func reloadKeys() {
        var settings = live.current
        let problems = ProblemList()
        let ring = KeyFolder(settings.access.keys).read(problems: problems)
        guard settings.access.mode == .keys, problems.all.isEmpty, ring != settings.keys else { return }
        settings.keys = ring
        live.current = settings
        access.replace(settings.access, ring)
        queue.setRunningLimits(settings.runningLimits)
        logger.notice("the keys of clients were reloaded anyway")
    }

    private func reload() async {
        do {
            let new = try Settings.load(environment: environment, flags: flags)
            let certified = try new.identity()
            try new.checkAuthorities()
            let old = live.current
            let models = try await queue.know(new.modelList)
            live.current = new
            threshold.level = new.logLevel
            http.current = new.affordableHTTP
            access.replace(new.access, new.keys)
            queue.setRunningLimits(new.runningLimits)
            // A listener that speaks TLS keeps the last one: it is there until the next start.
            if let certified { identity.current = certified }
            queue.store.disk.minFree = new.store.minFree
            queue.configure(models)
            worker.modelsChanged()
            redis?.setModels(new.modelList.map(\.name))
            let fixed = Settings.rows.filter { $0.effect == .restart && $0.hasChanged(from: old, to: new) }
            if !fixed.isEmpty {
                logger.warning(
                    "some changed settings take effect only at the next start",
                    metadata: ["settings": "\(fixed.map(\.key).joined(separator: ", "))"]
                )
            }
            for warning in new.warnings { logger.warning("\(warning)") }
            if let trouble = certified?.certificate.trouble(at: .now) { logger.warning("\(trouble)") }
            logger.notice("configuration reloaded", metadata: changes(of: new, old))
        } catch let problems as SettingsProblems {
            for problem in problems.all {
                logger.error("the new configuration is refused, the old one stays", metadata: ["problem": "\(problem)"])
            }
            reloadKeys()
        } catch {
            logger.error("the reload failed, the old settings stay", metadata: ["error": "\(error)"])
        }
    }
}
