import InferqCore
import InferqQueue
import InferqStore
import NIOCore
import Testing

@testable import InferqHTTP

/// The options of a job are the same in JSON, in a query and in `docs/openapi.yaml`.
struct JobOptionTests {
    private static let description = Array(EmbeddedFile.openAPI.bytes.readableBytesView)

    private func value(_ pointer: String) throws -> Range<Int> {
        try #require(JSONScanner.find(try JSONPointer(pointer), in: Self.description), "\(pointer)")
    }

    private func names(_ pointer: String) throws -> [String] {
        JSONScanner.members(of: Self.description, in: try value(pointer)).map(\.name)
    }

    private func text(_ pointer: String) throws -> String? {
        JSONScanner.string(in: Self.description, try value(pointer))
    }

    private func number(_ pointer: String) throws -> Int? {
        JSONScanner.integer(in: Self.description, try value(pointer))
    }

    /// Pointers to the parameters that a submit may have.
    private func parameters(_ path: String) throws -> [String] {
        let list = "/paths/\(path.replacing("/", with: "~1"))/post/parameters"
        let count = JSONScanner.elements(of: Self.description, in: try value(list)).count
        return try (0..<count).map { index in
            let item = "\(list)/\(index)"
            guard try names(item) == ["$ref"] else { return item }
            return String(try #require(try text("\(item)/$ref")).dropFirst())
        }
    }

    @Test
    func theDescriptionNamesEachOptionAndNoOther() throws {
        #expect(try names("/components/schemas/Options/properties").sorted() == JobOption.all.map(\.name).sorted())
    }

    @Test(arguments: ["/v1/inference", "/v1/async/inference"])
    func theDescriptionHasAQueryItemForEachOption(_ path: String) throws {
        let items = try parameters(path).filter { try text("\($0)/in") == "query" }.map { try text("\($0)/name") }
        let expected = JobOption.all.map(\.name) + ["model", "model_display_name"]
        #expect(items.compactMap { $0 }.sorted() == expected.sorted())
    }

    @Test
    func theDescriptionHasAHeaderFieldForEachOption() throws {
        let names = try parameters("/v1/chat/completions").compactMap { try text("\($0)/name") }
        let options = names.map { $0.lowercased() }.filter { $0.hasPrefix("x-inferq-") }
            .map { String($0.dropFirst("x-inferq-".count)).replacing("-", with: "_") }
        #expect(options.sorted() == JobOption.all.map(\.name).filter { $0 != "key" }.sorted())
    }

    @Test
    func theDescriptionNamesTheRangeOfEachNumber() throws {
        let items = try parameters("/v1/inference")
        for option in JobOption.all {
            guard let range = option.range else { continue }
            let item = try #require(try items.first { try text("\($0)/name") == option.name })
            for schema in ["/components/schemas/Options/properties/\(option.name)", "\(item)/schema"] {
                #expect(try number("\(schema)/minimum") == range.lowerBound)
                #expect(try number("\(schema)/maximum") == range.upperBound)
            }
        }
    }

    @Test
    func aQueryIsReadAsJSONIs() throws {
        let body = Array(
            #"""
            {"priority":-5,"delay":"90s","expires_in":3600,"timeout":"250ms","max_attempts":7,"metadata":{"a":1},"key":"k"}
            """#.utf8)
        let query = "priority=-5&delay=90s&expires_in=3600&timeout=250ms&max_attempts=7&metadata=%7B%22a%22:1%7D&key=k"
        let json = try JobOptions(job: body.indices, in: body)
        let text = try JobOptions(Query(query + "&model=m"), except: ["model"])
        #expect(json.options == text.options)
        #expect(json.key == "k")
        #expect(text.key == "k")
    }

    @Test(arguments: [
        ("priority=101", "query item priority: it must be from -100 to 100."),
        ("max_attempts=x", "query item max_attempts: it must be a whole number."),
        ("expires_in=0", "query item expires_in: it must be more than zero."),
        ("timeout=0", "query item timeout: it must be at least a millisecond."),
        ("delay=1s&run_at=2026-11-23T00:00:00Z", "query item delay: it cannot be combined with run_at."),
        ("key=", "query item key: it must be 1 to 255 visible ASCII characters, and not an access key."),
        ("metadata=[]", "query item metadata: it must be a JSON object."),
        ("priority=1&priority=1", "query item priority: it is given more than once."),
        (
            "color=1",
            "query item color: it is not known; the known ones are delay, expires_in, key, max_attempts, metadata, priority, "
                + "run_at, timeout."
        ),
    ])
    func aMistakeInAQueryIsNamedWithItsPlace(_ query: String, _ message: String) {
        let error = #expect(throws: APIError.self) { try JobOptions(Query(query), except: []) }
        #expect(error?.detail == message)
    }
}
