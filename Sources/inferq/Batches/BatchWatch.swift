import Glibc
import InferqCore

/// Follows a batch to its end and fetches what has come of it.
struct BatchWatch {
    let client: GatewayClient
    let id: String

    /// A batch takes minutes to hours.
    private static let pause = Duration.seconds(1)

    /// - Throws: ``ClientError``, with the cause `jobEnded` unless all lines were answered.
    func follow(output: WholeFile, errors: WholeFile) async throws {
        let batch = try await ended()
        if let file = batch.output { try await fetch(file, to: output) }
        if let file = batch.errors { try await fetch(file, to: errors) }
        if batch.status == "failed" {
            let problems = (batch.problems?.data ?? []).compactMap { problem in
                problem.message.map { (problem.line.map { "line \($0): " } ?? "") + $0 }
            }
            for problem in problems { StandardError.write(problem.visible()) }
            throw ClientError(.jobEnded, "batch \(id) failed: its input is invalid, and no line ran")
        }
        let tally = "\(batch.counts.completed) of \(batch.counts.total) lines were answered"
        guard batch.status == "completed", batch.counts.failed == 0 else {
            throw ClientError(.jobEnded, "batch \(id) is \(batch.status): \(tally), \(batch.counts.failed) failed")
        }
        StandardError.write("batch \(id) has completed: \(tally)")
    }

    private func ended() async throws -> BatchDocument {
        guard let terminal = Terminal(STDERR_FILENO) else {
            return try await poll { _ in
            } complain: {
                tell($0)
            }
        }
        let line = ProgressLine(on: terminal)
        defer { line.finish() }
        // Cancelled and awaited when this function returns.
        async let _ = line.run()
        return try await poll {
            line.show(status: $0.status.uppercased(), note: $0.progress)
        } complain: {
            line.show(note: $0)
        }
    }

    private func tell(_ complaint: String) {
        StandardError.write("inferq: \(complaint.visible())")
    }

    private func poll(
        _ show: (BatchDocument) -> Void, complain: (String) -> Void
    ) async throws -> BatchDocument {
        while true {
            let batch = try await client.patiently(complain: complain) {
                try await client.decoded(BatchDocument.self, client.get("/v1/batches/\(id)")).value
            }
            show(batch)
            if batch.hasEnded { return batch }
            try await Task.sleep(for: Self.pause)
        }
    }

    private func fetch(_ file: String, to place: WholeFile) async throws {
        let answer = try await client.get("/v1/files/\(file)/content")
        try await client.read(answer) { bytes in
            try place.write(bytes)
            return true
        }
        try place.finish()
    }
}
