import ArgumentParser
import Glibc
import InferqCore

/// `inferq doctor`: looks at everything that the gateway needs, and says what is wrong and what to do about it.
struct DoctorCommand: ClientCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Check configuration, keys, certificate, store, permissions, disk, Redis and model servers.",
        discussion: """
            The store is checked through the gateway if one runs, else under its lock; either reads all of it. Changes \
            nothing. Exit codes: 0 nothing is wrong, 1 something is.
            """
    )

    @Option(
        help: "The one configuration file to read, instead of /etc/inferq.",
        completion: .file(extensions: ["toml"]))
    var config: String?

    @Flag(help: "Print JSON, one finding a line.")
    var json = false

    @OptionGroup
    var gateway: GatewayOptions

    func perform() async throws {
        let gateways = LocalGateways(gateway, config: config)
        var isWrong = false
        let tell = { (finding: Finding) throws in
            if finding.verdict == .wrong { isWrong = true }
            try write(finding)
        }
        var settings: Settings
        let access: AccessExamination
        do {
            settings = try gateways.load()
            access = AccessExamination(settings)
            if settings.access.mode == .keys, let keys = access.keys { settings.keys = keys }
            try tell(.ok("configuration", settings.models.count == 1 ? "1 model" : "\(settings.models.count) models"))
            let warnings = settings.warningsOfFiles + (access.keys == nil ? [] : settings.warningsOfKeys)
            for warning in warnings + settings.advice { try tell(.note("configuration", warning)) }
            for problem in settings.authorityProblems { try tell(.wrong("configuration", "\(problem)")) }
        } catch let problems as SettingsProblems {
            for problem in problems.all { try tell(.wrong("configuration", "\(problem)")) }
            throw ExitCode(1)
        }
        for finding in access.findings { try tell(finding) }
        for finding in CertificateExamination.findings(settings, now: .now) { try tell(finding) }
        for finding in StoreExamination.files(settings.store) { try tell(finding) }
        for finding in try await StoreExamination.content(settings.store, gateways) { try tell(finding) }
        if let finding = NeighborExamination.redis(settings) { try tell(finding) }
        for model in settings.modelList {
            for finding in await NeighborExamination.model(model) { try tell(finding) }
        }
        if isWrong { throw ExitCode(1) }
    }

    private func write(_ finding: Finding) throws {
        if json {
            var writer = JSONWriter()
            finding.write(&writer)
            return try StandardOutput.write(writer.bytes + [UInt8(ascii: "\n")])
        }
        let verdict = finding.verdict.rawValue
        let padded = verdict + String(repeating: " ", count: 7 - verdict.count)
        let word = Screen().painted(padded, finding.verdict.color)
        try StandardOutput.write(line: "\(word)\(finding.subject.visible()): \(finding.sentence.visible())")
    }
}
