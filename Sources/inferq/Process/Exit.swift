import ArgumentParser

/// Exit codes, after sysexits.h.
enum Exit {
    static let usage = ExitCode(64)
    static let storeDamaged = ExitCode(65)
    static let unavailable = ExitCode(69)
    static let host = ExitCode(71)
    static let cannotCreate = ExitCode(73)
    static let diskFailed = ExitCode(74)
    static let configuration = ExitCode(78)
}
