import ArgumentParser
import FoundationEssentials
import Glibc
import InferqCore

/// `inferq jobs`: lists jobs, and acts on single ones.
struct JobsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jobs",
        abstract: "List, show, cancel, retry and delete jobs, and print their outputs.",
        discussion: "With --json the output is JSON, one object a line, as the gateway gives it.",
        subcommands: [
            ListJobs.self, ShowJob.self, CancelJobs.self, RetryJobs.self, PrintOutput.self, DeleteJobs.self,
        ],
        defaultSubcommand: ListJobs.self
    )
}

struct ListJobs: ClientCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List jobs, newest first.")

    @Option(
        help: "PENDING, RUNNING, COMPLETED, ERROR or CANCELLED; may be repeated.", completion: Completions.statuses)
    var status: [String] = []

    @Option(help: "Only jobs of this model.", completion: Completions.models)
    var model: String?

    @Option(help: "The most jobs to list; 25 by default.")
    var limit: Int?

    @Flag(help: "Print what happens to jobs from now on, until Ctrl-C; in a pipe every line is a JSON object.")
    var follow = false

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup
    var gateway: GatewayOptions

    /// The gateway's largest page.
    private static let largestPage = 1000

    func validate() throws {
        guard follow, limit != nil || !status.isEmpty else { return }
        throw ValidationError(
            "--follow shows every event from now on; of the other options it takes --model and --json")
    }

    func perform() async throws {
        if follow { return try await followEvents() }
        let limit = limit ?? 25
        guard limit > 0 else { throw ClientError(.usage, "--limit \(limit) is too small; choose 1 or more") }
        try await gateway.withGateway { client in
            let now = Timestamp.now
            var shown: [JobSummary] = []
            var count = 0
            var cursor: String?
            repeat {
                let path = self.path(min(Self.largestPage, limit - count), after: cursor)
                let (page, bytes) = try await client.decoded(JobPage.self, client.get(path))
                count += page.results.count
                if json {
                    for record in JobPage.records(bytes) { try StandardOutput.write(record + [UInt8(ascii: "\n")]) }
                } else {
                    shown += page.results
                }
                cursor = page.results.isEmpty ? nil : page.next
            } while cursor != nil && count < limit
            guard !json else { return }
            guard !shown.isEmpty else { return StandardError.write("no jobs") }
            try Screen().write(JobSummary.table(shown, now: now))
            if cursor != nil { StandardError.write("there are older ones: see more with --limit") }
        }
    }

    private func followEvents() async throws {
        let terminal = json ? nil : Terminal(STDOUT_FILENO)
        let query = model.map { "?model=\($0.percentEncoded)" } ?? ""
        try await gateway.withGateway { client in
            let events = EventWatch(client: client, path: "/v1/events\(query)", firstContact: .stillToCome)
            try await events.follow { event in
                if let terminal {
                    let job = "\(event.anyID?.visible() ?? "")  \(event.model?.visible(limit: 40) ?? "")"
                    let what = "\(terminal.status(event.status))  \(event.text)"
                    try StandardOutput.write(line: "\(Timestamp.now.localTime)  \(job)  \(what)")
                } else {
                    try StandardOutput.write(line: event.line)
                }
                return true
            } complain: { complaint in
                StandardError.write("inferq: \(complaint.visible())")
            } opened: {
                StandardError.write("listening at \(client.address); Ctrl-C ends it")
            }
        }
    }

    private func path(_ count: Int, after cursor: String?) -> String {
        var items = ["limit=\(count)"] + status.map { "status=\($0.uppercased().percentEncoded)" }
        if let model { items.append("model=\(model.percentEncoded)") }
        if let cursor { items.append("cursor=\(cursor.percentEncoded)") }
        return "/v1/inference?" + items.joined(separator: "&")
    }
}

struct ShowJob: ClientCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "Show one job.")

    @Argument(help: "The job's id.", completion: Completions.jobs)
    var id: String

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup
    var gateway: GatewayOptions

    func perform() async throws {
        let path = try JobPath.record(id)
        try await gateway.withGateway { client in
            let (job, bytes) = try await client.decoded(JobSummary.self, client.get(path))
            if json { return try StandardOutput.write(bytes + [UInt8(ascii: "\n")]) }
            let screen = Screen()
            let now = Timestamp.now
            var lines: [(String, String)] = [
                ("id", job.id), ("event id", job.eventID), ("model", job.model),
                ("status", job.color.map { screen.painted(job.status, $0) } ?? job.status.visible(limit: 20)),
                ("attempt", "\(job.attempt) of \(job.maxAttempts)"), ("priority", "\(job.priority)"),
            ]
            if let call = job.call { lines.append(("call", call.text.visible(limit: 1000))) }
            if let old = job.retryOf { lines.append(("retry of", old)) }
            let times = [
                ("created", job.createdAt), ("started", job.startedAt ?? ""), ("finished", job.finishedAt ?? ""),
            ]
            for (name, time) in times where !time.isEmpty {
                lines.append((name, "\(time.visible(limit: 40))  (\(JobSummary.age(time, now: now)) ago)"))
            }
            let note = job.note(now: now)
            if !note.isEmpty { lines.append((job.error == nil ? "queue" : "error", note.visible(limit: 1000))) }
            for name in ["metadata", "input", "predicted_layers", "output"] {
                if let text = Self.member(name, of: bytes) { lines.append((name.replacing("_", with: " "), text)) }
            }
            for (name, text) in lines {
                let padded = name + String(repeating: " ", count: max(1, 18 - name.count))
                try StandardOutput.write(line: screen.painted(padded, .faint) + text)
            }
        }
    }

    /// The beginning of a member's JSON; nil for one that says nothing.
    private static func member(_ name: String, of record: [UInt8]) -> String? {
        guard let member = JSONScanner.members(of: record, in: record.indices).first(where: { $0.name == name }) else {
            return nil
        }
        let text = String(decoding: record[member.value].prefix(2000), as: UTF8.self).visible(limit: 400)
        return text == "null" || text == "[]" || (text == "{}" && name == "metadata") ? nil : text
    }
}
