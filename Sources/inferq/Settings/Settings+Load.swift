import InferqHTTP

extension Settings {
    /// Reads the configuration: a flag wins over the environment, the environment over the files, these over the
    /// defaults. An empty variable counts as not set.
    ///
    /// - Throws: Every problem there is, not the first alone.
    static func load(
        files: SettingsFiles = SettingsFiles(),
        environment: [String: String],
        flags: SettingsFlags = SettingsFlags(),
        whenBroken: (Settings) -> Void = { _ in }
    ) throws(SettingsProblems) -> Settings {
        let problems = ProblemList()
        let set = environment.filter { !$0.value.isEmpty }
        let tree = files.read(only: flags.config ?? set["INFERQ_CONFIG"], problems: problems)
        let reader = SettingsReader(tree: tree, credentials: Credentials(folder: set["CREDENTIALS_DIRECTORY"]))
        var settings = reader.read(environment: set, flags: flags, problems: problems)
        if settings.access.mode == .keys && flags.sockets != .unneeded {
            settings.keys = KeyFolder(settings.access.keys).read(problems: problems)
        }
        guard problems.all.isEmpty else {
            whenBroken(settings)
            throw SettingsProblems(all: problems.all)
        }
        return settings
    }
}
