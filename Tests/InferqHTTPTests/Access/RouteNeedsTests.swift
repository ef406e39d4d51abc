import Foundation
import InferqCore
import Testing

@testable import InferqHTTP

/// The table of routes, and what the document says of it.
struct RouteNeedsTests {
    /// Alternatives of scopes by method and path; an empty one where none is needed.
    private static func described() throws -> [String: Set<String>] {
        let bytes = EmbeddedFile.openAPI.bytes
        let json = try JSONSerialization.jsonObject(with: Data(bytes.readableBytesView)) as? [String: Any]
        let paths = try #require(json?["paths"] as? [String: [String: Any]])
        var found: [String: Set<String>] = [:]
        for (path, item) in paths {
            for (method, operation) in item {
                guard let operation = operation as? [String: Any] else { continue }
                let security = try #require(operation["security"] as? [[String: [String]]], "\(method) \(path)")
                let bearer = security.compactMap { $0["bearer"] }.flatMap { $0 }
                #expect(bearer == security.compactMap { $0["header"] }.flatMap { $0 }, "\(method) \(path)")
                found["\(method.uppercased()) \(path)"] = Set(bearer)
            }
        }
        return found
    }

    @Test func theDocumentSaysWhatTheTableSays() async throws {
        let described = try Self.described()
        try await TestGateway.with { gateway in
            let rows = Routes.rows(gateway.gateway)
            let table = rows.map { row in
                ("\(row.method.rawValue) \(row.template.replacing("...", with: ""))", Set(row.needs.scopes.names))
            }
            #expect(Dictionary(uniqueKeysWithValues: table) == described)
        }
    }
}
