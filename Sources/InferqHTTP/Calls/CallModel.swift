import InferqCore

/// A model with its settings of calls taken apart.
struct CallModel: Sendable {
    let settings: ModelSettings
    private let direct: [CallRule]
    private let queued: [CallRule]
    /// The path of the model server's root.
    private let root: String

    init(_ settings: ModelSettings) {
        self.settings = settings
        direct = settings.direct.compactMap(CallRule.init)
        queued = settings.queued.compactMap(CallRule.init)
        root = ModelRoot(settings)?.path ?? ""
    }

    var name: String { settings.name }

    /// The paths at the gateway's root that are calls of this model, those of its dialect first.
    var rootPaths: [RootPath] {
        let configured = settings.paths.map { path in
            RootPath(pattern: CallPattern(path), use: .jobs, route: RootPath.configured)
        }
        return settings.dialect.rootPaths + configured
    }

    /// What a method does at a path of the model server; nil when it is not offered.
    func kind(of method: String, _ path: String, _ use: CallUse) -> CallKind? {
        if queued.contains(where: { $0.covers(method, path) }) { return .job }
        if direct.contains(where: { $0.covers(method, path) }) { return .handedThrough }
        switch (method, use) {
        case ("POST", .jobs): return .job
        case ("POST", .questions), ("GET", _), ("HEAD", _): return .handedThrough
        default: return nil
        }
    }

    /// Whether a path of the model server is offered to no one, whatever the settings say.
    func closes(_ path: String) -> Bool {
        settings.dialect == .ollama && CallPath.isAdministration(root + path)
    }
}
