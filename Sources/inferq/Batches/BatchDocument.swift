/// A batch as the gateway shows it.
struct BatchDocument: Decodable, Sendable {
    struct Counts: Decodable {
        let total: Int
        let completed: Int
        let failed: Int
    }

    struct Problems: Decodable {
        struct Problem: Decodable {
            let message: String?
            let line: Int?
        }

        let data: [Problem]
    }

    let id: String
    let status: String
    let counts: Counts
    let output: String?
    let errors: String?
    let problems: Problems?

    private enum CodingKeys: String, CodingKey {
        case id, status
        case counts = "request_counts"
        case output = "output_file_id"
        case errors = "error_file_id"
        case problems = "errors"
    }

    var hasEnded: Bool { ["completed", "failed", "expired", "cancelled"].contains(status) }

    /// `[#####-----]  50 %  2,500 of 5,000 lines, 3 failed`
    var progress: String {
        guard counts.total > 0 else { return "" }
        let done = counts.completed + counts.failed
        let width = 24
        let filled = min(width, done * width / counts.total)
        let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: width - filled)
        return "[\(bar)]  \(done * 100 / counts.total) %  \(tally)"
    }

    var tally: String {
        let done = counts.completed + counts.failed
        let failed = counts.failed > 0 ? ", \(counts.failed) failed" : ""
        return "\(done) of \(counts.total) lines\(failed)"
    }
}
