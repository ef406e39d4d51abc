import InferqCore
import InferqHTTP
import InferqRedis
import InferqStore

/// Turns the files' tree, the environment and the flags into ``Settings``, as ``Settings/rows`` say.
struct SettingsReader {
    let tree: SettingsNode
    let credentials: Credentials

    /// - Parameter problems: Gets every problem; if files could not be read it is not empty, and nothing is said of
    ///   settings that may stand in them.
    func read(environment: [String: String], flags: SettingsFlags, problems: ProblemList) -> Settings {
        let filesAreComplete = problems.all.isEmpty
        // Other defaults follow from it, so it comes before its row, which says what is wrong with it.
        let isFlash = tree.value(at: ["store", "profile"]) == .text(StoreSettings.Profile.flash.rawValue)
        var settings = Settings(isFlash ? .flash : .standard)
        var root = TableReader(tree, path: [], problems: problems, credentials: credentials)
        let tables = root.read(Settings.rows, into: &settings)
        if let models = root.table("models", example: "[models.NAME]") {
            let reader = ModelReader(
                top: root.known, filesAreComplete: filesAreComplete,
                mayRunElsewhere: settings.broker.kind != .ring && Settings.redisRow.isGiven(in: tree, environment)
            )
            settings.models = reader.read(models)
        }
        let keysAdvice = "move the table to a file in \(settings.access.keys.visible())"
        root.refuse("keys", Refusal("the keys of clients have a folder of their own", keysAdvice))
        root.refuseUnknown()
        for table in tables { table.refuseUnknown(elsewhere: root.known) }
        override(&settings, with: flags, environment, problems)
        if filesAreComplete { check(settings, environment, flags, problems) }
        return settings
    }

    private func override(
        _ settings: inout Settings,
        with flags: SettingsFlags,
        _ environment: [String: String],
        _ problems: ProblemList
    ) {
        func set(_ row: SettingRow<Settings>, to value: SettingsValue, from source: String, at place: String) {
            do throws(Refusal) {
                try row.set(&settings, to: value, defaults: Settings(), credentials)
            } catch {
                problems.add(SettingsProblem(source, at: place, error))
            }
        }
        if !flags.listen.isEmpty {
            let addresses = SettingsValue.list(flags.listen.map { .text($0) })
            set(Settings.listenRow, to: addresses, from: "command line", at: "--listen")
        }
        for row in Settings.rows where flags.listen.isEmpty || row.key != Settings.listenRow.key {
            guard let variable = row.variable, let text = environment[variable] else { continue }
            set(row, to: row.value(ofVariable: text), from: "environment", at: variable)
        }
    }

    private func checkTLS(
        _ settings: Settings, _ flags: SettingsFlags,
        _ report: (_ path: [String], _ what: String, _ advice: String) -> Void
    ) {
        let tls = settings.tls
        let makes = "inferq cert init makes a pair"
        switch (tls.certificate.isEmpty, tls.key.isEmpty) {
        case (false, false): break
        case (false, true): report(["tls", "key"], "missing, and tls.certificate is set", "name the file of its key")
        case (true, false):
            report(["tls", "certificate"], "missing, and tls.key is set", "name the file of its certificate")
        case (true, true):
            let own = [.own, .either].contains(flags.sockets) ? settings.listen : []
            if let endpoint = own.first(where: { $0.role == .tls }) {
                report(
                    ["tls", "certificate"], "missing, and listen has \(endpoint)",
                    "set it and tls.key (\(makes)), or remove the address")
            } else if flags.listening.contains(where: Self.isTLSFromSystemd) {
                report(
                    ["tls", "certificate"], "missing, and systemd passes a socket that is named tls",
                    "set it and tls.key (\(makes)), or disable the socket's unit")
            }
        }
    }

    /// A listener of the gateway's own that speaks TLS keeps the certificate that it has until the next start.
    private static func isTLSFromSystemd(_ endpoint: Endpoint) -> Bool {
        if case .inherited = endpoint.place { endpoint.role == .tls } else { false }
    }

    /// What no key alone can tell.
    private func check(
        _ settings: Settings,
        _ environment: [String: String],
        _ flags: SettingsFlags,
        _ problems: ProblemList
    ) {
        func report(_ path: [String], _ what: String, _ advice: String) {
            let place = TableReader.text(path)
            problems.add(SettingsProblem(tree.file(of: path), at: place, Refusal(what, advice)))
        }
        if settings.listen.isEmpty, flags.sockets == .own {
            report(
                ["listen"], "the list is empty, and systemd passes no sockets",
                "name at least one address, for example \"127.0.0.1:8484\"")
        }
        if flags.sockets != .unneeded { checkTLS(settings, flags, report) }
        if settings.redis.workerTimeout < settings.redis.heartbeat * 2 {
            let heartbeat = DurationText.format(settings.redis.heartbeat)
            let what = "less than two heartbeats (\(heartbeat) each), so live workers would count as dead"
            report(["broker", "worker_timeout"], what, "raise it or lower broker.heartbeat")
        }
        if settings.http.bodiesInFlight < settings.http.maxBody {
            let size = ByteSizeText.format(settings.http.maxBody)
            let what = "less than max_body (\(size)), so the largest bodies would never be accepted"
            report(["limits", "bodies_in_flight"], what, "raise it to \"\(size)\" or lower max_body")
        }
        for problem in AccessRules(settings, flags).refusals {
            report(problem.path, problem.refusal.what, problem.refusal.advice)
        }
        // One that is wrong has been reported already.
        if settings.broker.kind == .redis && !Settings.redisRow.isGiven(in: tree, environment) {
            let advice = "set broker.redis, for example to \"redis://127.0.0.1:6379/0\", or choose \"auto\" or \"ring\""
            report(["broker", "kind"], "\"redis\" needs the address of a Redis", advice)
        }
    }
}
