import InferqHTTP

/// What the command line, and the one that started the process, say about the configuration.
struct SettingsFlags: Sendable, Equatable {
    /// Where the process gets its listening sockets.
    enum Sockets: Sendable {
        /// It opens them, so it needs addresses.
        case own
        /// It was given them.
        case given
        /// It reads the configuration of a gateway that may have either.
        case either
        /// It listens nowhere, and no one shows it a key.
        case unneeded
    }

    /// `--config`: the one file to read.
    var config: String?
    /// `--listen`, as often as it was given; replaces the list of the file.
    var listen: [String] = []
    var sockets = Sockets.own
    /// What it listens on already, whatever the files say.
    var listening: [Endpoint] = []
}
