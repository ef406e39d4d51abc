import Foundation
import HTTPTypes
import InferqCore
import Testing

@testable import InferqHTTP

/// The table of routes, and what the document says of it.
struct RouteNeedsTests {
    /// Alternatives of scopes by method and path; an empty one where none is needed.
    ///
    /// - Parameter ofCalls: whether of the calls of model servers, or of all else.
    private static func described(ofCalls: Bool = false) throws -> [String: Set<String>] {
        let bytes = EmbeddedFile.openAPI.bytes
        let json = try JSONSerialization.jsonObject(with: Data(bytes.readableBytesView)) as? [String: Any]
        let paths = try #require(json?["paths"] as? [String: [String: Any]])
        var found: [String: Set<String>] = [:]
        for (path, item) in paths {
            for (method, operation) in item {
                guard let operation = operation as? [String: Any] else { continue }
                guard (operation["tags"] as? [String] == ["Calls"]) == ofCalls else { continue }
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

    // MARK: Calls

    @Test func theDocumentSaysWhatTheTableOfCallsSays() throws {
        let plain = SampleModels.model("plain", queued: ["PUT /x", "PATCH /x", "DELETE /x"])
        let table = CallTable(SampleModels.all.filter { $0.name != "plain" } + [plain])
        for (line, scopes) in try Self.described(ofCalls: true) {
            let words = line.split(separator: " ").map(String.init)
            let method = try #require(HTTPRequest.Method(rawValue: words[0]), "\(line)")
            let model = words[1].hasPrefix("/v2") ? "triton" : "plain"
            let path = words[1].replacing("{model}", with: model).replacing("{path}", with: "x")
                .replacing("{version}", with: "1")
            let found = try #require(try table.find(method, path, query: nil), "\(line)")
            #expect(Set(found.needs.scopes.names) == scopes, "\(line)")
        }
    }

    @Test func theDocumentHasThePathsOfEveryDialect() throws {
        let described = Set(try Self.described(ofCalls: true).keys.map { String($0.drop { $0 != " " }.dropFirst()) })
        // The path of a model alone is one of the gateway's own.
        let paths =
            Dialect.allCases.flatMap(\.rootPaths).map(\.pattern.text)
            + KServePath.routes.filter { $0 != "/v2/models/{model}" }
        for path in paths { #expect(described.contains(path.replacing("*", with: "{path}")), "\(path)") }
    }
}
