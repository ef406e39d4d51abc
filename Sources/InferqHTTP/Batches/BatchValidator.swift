import Crypto
import InferqCore
import InferqStore

/// Checks the input of a batch: all of its lines are good, or none becomes a job.
struct BatchValidator: Sendable {
    let gateway: Gateway
    let terms: Batch.Terms

    /// More of them say nothing new.
    private static let problemLimit = 100

    /// - Returns: how many lines there are, and what is wrong; empty: nothing is.
    func check(_ input: UploadBytes) async throws -> (total: Int, problems: [BatchProblem]) {
        let settings = gateway.settings.current
        var problems: [BatchProblem] = []
        var total = 0
        // 16 bytes for a name: that two of 50,000 differ and have the same is as likely as that memory forgets one.
        var names: Set<UInt128> = []
        var reader = LineReader(input)
        guard let found = try? gateway.callTable.current.find(.post, terms.endpoint, query: nil) else {
            return (0, [BatchProblem("invalid_endpoint", "There is no longer a model at \(terms.endpoint).")])
        }
        guard let caller = gateway.access.batchCaller(terms.client) else {
            return (0, [BatchProblem("no_such_client", "The batch's client no longer has a key.")])
        }
        while problems.count < Self.problemLimit {
            let next: LineCutter.Line?
            do {
                next = try await reader.next(upTo: settings.maxBody)
            } catch let problem as BatchProblem {
                problems.append(problem)
                break
            }
            guard let line = next else { break }
            total += 1
            guard total <= settings.batch.maxLines else {
                problems.append(
                    BatchProblem(
                        "too_many_lines", "There are more than \(settings.batch.maxLines) lines (batch.max_lines)."))
                break
            }
            do {
                let request = try BatchLine(line.text, line: line.number, endpoint: terms.endpoint)
                guard names.insert(Self.digest(request.customID)).inserted else {
                    throw BatchProblem(
                        "duplicate_custom_id", "custom_id was already used by an earlier line.", line: line.number,
                        member: "custom_id")
                }
                let model = try found.model(named: request.model)
                try caller.checkMaySubmit(to: model.name, priority: settings.batch.priority)
            } catch let problem as BatchProblem {
                problems.append(problem)
            } catch let error as APIError {
                problems.append(
                    BatchProblem(error.code.rawValue, error.detail, line: line.number, member: "body.model"))
            }
        }
        if total == 0, problems.isEmpty { problems.append(BatchProblem("empty_file", "The input file has no lines.")) }
        return (total, problems)
    }

    private static func digest(_ name: String) -> UInt128 {
        SHA256.hash(data: Array(name.utf8)).prefix(16).reduce(0) { $0 << 8 | UInt128($1) }
    }
}
