import Foundation
import InferqCore
import InferqQueue
import InferqStore
import NIOCore
import TestSupport
import Testing

@testable import inferq

struct SubmitRequestTests {
    private func text(_ bytes: [UInt8]) -> String {
        String(decoding: bytes, as: UTF8.self)
    }

    @Test
    func jsonGoesIntoTheEnvelopeAsItIs() throws {
        let input = Array(#"{ "a" : 1.50 }"#.utf8)
        let options = try SubmitOptions(priority: -7, timeout: "90")
        let envelope = #"{"model":"o\"cr","job":{"priority":-7,"timeout":"90s"},"input":{ "a" : 1.50 }}"#
        #expect(text(SubmitRequest.envelope("o\"cr", input, options)) == envelope)
        let plain = #"{"model":"ocr","input":{ "a" : 1.50 }}"#
        #expect(text(SubmitRequest.envelope("ocr", input, try SubmitOptions())) == plain)
    }

    @Test
    func anythingElseHasItsOptionsInTheQuery() throws {
        let path = SubmitRequest.path("a b&c", try SubmitOptions(priority: 7, timeout: "250ms", key: "k"))
        #expect(path == "/v1/async/inference?model=a%20b%26c&priority=7&timeout=250ms")
        #expect(SubmitRequest.path("ocr", try SubmitOptions()) == "/v1/async/inference?model=ocr")
    }

    @Test
    func whatIsSentIsAnOptionOfTheGateway() throws {
        let file = URL(filePath: #filePath).appending(path: "../../../../Sources/CEmbedded/openapi.json").standardized
        let description = Array(try Data(contentsOf: file))
        let options = try JSONPointer("/components/schemas/Options/properties")
        let range = try #require(JSONScanner.find(options, in: description))
        let known = Set(JSONScanner.members(of: description, in: range).map(\.name))
        #expect(known.isSuperset(of: try SubmitOptions(priority: 1, timeout: "1s").items.map(\.name)))
    }

    @Test(
        arguments: [
            (101, nil, nil), (-101, nil, nil), (nil, "soon", nil), (nil, "0s", nil), (nil, "-1s", nil), (nil, "", nil),
            (nil, nil, ""), (nil, nil, "a b"), (nil, nil, "é"), (nil, nil, String(repeating: "k", count: 256)),
        ] as [(Int?, String?, String?)])
    func optionsOutOfRangeAreUsageErrors(_ priority: Int?, _ timeout: String?, _ key: String?) {
        let error = #expect(throws: ClientError.self) {
            try SubmitOptions(priority: priority, timeout: timeout, key: key)
        }
        #expect(error?.cause == .usage)
    }

    @Test(arguments: [
        ("page.png", "image/png"), ("a/b.c/PAGE.JPG", "image/jpeg"), ("x.json", "application/json"),
        ("x.tar.pdf", "application/pdf"),
        ("x", nil), (".png", nil), ("x.", nil), ("a.png/x", nil), ("x.unknown", nil), ("", nil),
    ])
    func theExtensionTellsTheType(_ path: String, _ type: String?) {
        #expect(ContentType.named(path) == type)
    }

    @Test(arguments: [
        ("application/json", true), ("Application/JSON ; charset=utf-8", true), ("application/geo+json", true),
        ("text/plain", false), ("application/jsonl", false), ("", false),
    ])
    func jsonIsToldByItsName(_ type: String, _ isJSON: Bool) {
        #expect(ContentType.isJSON(type) == isJSON)
    }

    @Test(arguments: [
        ("image/png", true), ("text/plain; charset=utf-8", true), ("png", false), ("/", false), ("a/", false),
        ("a/b/c", false), ("a/b\r\nX: y", false), ("a /b", false), ("é/b", false), ("", false),
    ])
    func aTypeCanStandInAHeader(_ type: String, _ isValid: Bool) {
        #expect(ContentType.isValid(type) == isValid)
    }

    private enum Kind: Equatable {
        case json, bytes, chunks
    }

    private func kind(_ input: JobInput) -> Kind {
        switch input.content {
        case .json: .json
        case .bytes: .bytes
        case .chunks: .chunks
        }
    }

    private func read(_ bytes: [UInt8], named name: String, type: String? = nil) async throws -> JobInput {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        let file = folder.path + "/" + name
        try Data(bytes).write(to: URL(filePath: file))
        return try await JobInput.read(file, type: type)
    }

    @Test(
        arguments: [
            (#"{"a":1}"#, "x.json", nil, Kind.json, "application/json"),
            ("5", "x.json", nil, .json, "application/json"),
            (" [1]\n", "x", nil, .json, "application/json"),
            (#"{"a":1}"#, "x", "application/geo+json", .json, "application/geo+json"),
            (#"{"a":1}"#, "x", "text/plain", .bytes, "text/plain"),
            (#"{"a":1}"#, "x.txt", nil, .bytes, "text/plain"),
            ("{a}", "x", nil, .bytes, "application/octet-stream"),
            ("5", "x", nil, .bytes, "application/octet-stream"),
            ("", "x.png", nil, .bytes, "image/png"),
        ] as [(String, String, String?, Kind, String)])
    private func aFileIsJSONByTypeOrNameOrElseByGrammar(
        _ text: String,
        _ name: String,
        _ type: String?,
        _ kind: Kind,
        _ contentType: String
    ) async throws {
        let input = try await read(Array(text.utf8), named: name, type: type)
        #expect(self.kind(input) == kind)
        #expect(input.contentType == contentType)
    }

    @Test
    func aLargeFileIsSentAsItIsRead() async throws {
        let bytes = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
        let input = try await read(bytes, named: "x.png")
        guard case .chunks(let chunks) = input.content else {
            Issue.record("it was read as a whole")
            return
        }
        #expect(chunks.byteCount == 3_000_000)
        var sent: [UInt8] = []
        try await chunks.send { sent += $0.readableBytesView }
        #expect(sent == bytes)
    }

    @Test(arguments: [
        ("{", nil), ("{} x", nil), ("{1}", "application/json"), ("/nowhere/x", nil), ("/", nil), ("x", "y"),
    ])
    func whatCannotBeReadIsAUsageError(_ argument: String, _ type: String?) async {
        let error = await #expect(throws: ClientError.self) { try await JobInput.read(argument, type: type) }
        #expect(error?.cause == .usage)
    }
}
