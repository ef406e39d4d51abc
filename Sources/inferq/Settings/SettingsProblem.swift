/// One thing that is wrong with the configuration, said so that its reader can fix it.
struct SettingsProblem: Error, Sendable, Equatable, CustomStringConvertible {
    /// The file, or `environment` or `command line`.
    var source: String
    /// The key's path, a variable, a flag, or line and column; empty for a file as a whole.
    var place: String
    var what: String
    var advice: String

    init(_ source: String, at place: String = "", _ refusal: Refusal) {
        self.source = source
        self.place = place
        what = refusal.what
        advice = refusal.advice
    }

    /// One line: `FILE: key.path: what; what to do`. A key of a client that stands in the wrong place is not repeated.
    var description: String {
        "\(source.visible()): \(place.isEmpty ? "" : place + ": ")\(what); \(advice)".withoutKeys()
    }
}

/// Every problem of a configuration, in the order in which the settings are read; never empty.
struct SettingsProblems: Error, Equatable, CustomStringConvertible {
    var all: [SettingsProblem]

    var description: String { all.map(\.description).joined(separator: "\n") }
}

/// Why a value cannot be taken, before it is known where the value stood.
struct Refusal: Error, Equatable {
    /// What is wrong, without a full stop. It may quote the value only if that cannot be a secret.
    var what: String
    /// What to do about it.
    var advice: String

    init(_ what: String, _ advice: String) {
        self.what = what
        self.advice = advice
    }
}

/// Collects problems while a configuration is read.
final class ProblemList {
    private(set) var all: [SettingsProblem] = []

    func add(_ problem: SettingsProblem) {
        all.append(problem)
    }
}
