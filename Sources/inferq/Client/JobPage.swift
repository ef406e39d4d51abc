import InferqCore

/// One page of a list.
struct JobPage: Decodable, Sendable {
    var results: [JobSummary]
    var next: String?

    /// The records of a page that has been decoded, byte for byte.
    static func records(_ page: [UInt8]) -> [[UInt8]] {
        guard let results = JSONScanner.members(of: page, in: page.indices).first(where: { $0.name == "results" })
        else { return [] }
        return JSONScanner.elements(of: page, in: results.value).map { Array(page[$0]) }
    }
}
