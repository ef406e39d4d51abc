import TestSupport
import Testing

@testable import InferqCore

/// The events of a response in the background, made of what model servers stream.
struct ResponseEventsTests {
    private static let id = UUIDv7(high: 0x0192_0000_0000_7000, low: 0x8000_0000_0000_0001)
    private static let name = "resp_01920000000070008000000000000001"

    private static func events(_ request: String = #"{"model":"m"}"#, previous: String? = nil) throws -> ResponseEvents
    {
        let body = try #require(JSONObject(Array(request.utf8)))
        let created = Timestamp(milliseconds: 1_700_000_000_999)
        return ResponseEvents(ResponseFacts(job: id, createdAt: created, request: body, previous: previous))
    }

    /// As llama.cpp writes it: no numbers, and no places.
    private static func llama(_ texts: [String], item: String = "msg_1") -> String {
        var frames = [
            #"{"type":"response.created","response":{"id":"resp_x","object":"response","status":"in_progress"}}"#,
            #"{"type":"response.in_progress","response":{"id":"resp_x","object":"response","status":"in_progress"}}"#,
            #"{"type":"response.output_item.added","item":{"content":[],"id":"\#(item)","role":"assistant","status":"in_progress","type":"message"}}"#,
            #"{"type":"response.content_part.added","item_id":"\#(item)","part":{"type":"output_text","text":""}}"#,
        ]
        frames += texts.map { #"{"type":"response.output_text.delta","item_id":"\#(item)","delta":"\#($0)"}"# }
        return frames.map { "event: x\ndata: \($0)\n\n" }.joined()
    }

    private static func ending(_ text: String, item: String = "msg_1") -> String {
        let done =
            #"{"type":"message","status":"completed","id":"\#(item)","content":[{"type":"output_text","annotations":[],"logprobs":[],"text":"\#(text)"}],"role":"assistant"}"#
        return [
            #"{"type":"response.output_text.done","item_id":"\#(item)","text":"\#(text)"}"#,
            #"{"type":"response.output_item.done","item":\#(done)}"#,
            #"{"type":"response.completed","response":{"id":"resp_x","object":"response","status":"completed","model":"tiny","output":[\#(done)],"usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}}"#,
        ].map { "data: \($0)\r\n\r\n" }.joined()
    }

    /// An event as its reader takes it apart.
    private struct Read {
        let type: String
        let event: JSONObject

        init(_ frame: ResponseEvents.Frame) throws {
            let text = String(decoding: frame.bytes, as: UTF8.self)
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            try #require(lines.count == 4 && lines[2].isEmpty && lines[3].isEmpty)
            try #require(lines[0].hasPrefix("event: ") && lines[1].hasPrefix("data: "))
            type = String(lines[0].dropFirst(7))
            event = try #require(JSONObject(Array(lines[1].dropFirst(6).utf8)))
            #expect(event.text("type") == type)
            #expect(event.integer("sequence_number") == frame.number)
        }
    }

    private static func whole(_ text: String) throws -> [ResponseEvents.Frame] {
        var events = try events()
        return events.begin() + events.read(Array(text.utf8)) + events.end(.completed)
    }

    @Test
    func whatAServerLeavesOutIsAdded() throws {
        let frames = try Self.whole(Self.llama(["a", "b"]) + Self.ending("ab"))
        #expect(frames.map(\.number) == Array(0..<frames.count))
        let read = try frames.map(Read.init)
        #expect(
            read.map(\.type) == [
                "response.created", "response.queued", "response.in_progress", "response.output_item.added",
                "response.content_part.added", "response.output_text.delta", "response.output_text.delta",
                "response.output_text.done", "response.output_item.done", "response.completed",
            ])
        for each in read where each.event["response"] != nil {
            #expect(each.event.object("response")?.text("id") == Self.name)
            #expect(each.event.object("response")?.integer("created_at") == 1_700_000_000)
        }
        for each in read[3...8] { #expect(each.event.integer("output_index") == 0) }
        for each in read[4...7] {
            #expect(each.event.integer("content_index") == 0)
            #expect(each.event.text("item_id") == "msg_1")
        }
        #expect(read[5].event["logprobs"] == Array("[]".utf8))
        #expect(read[4].event.object("part")?["annotations"] == Array("[]".utf8))
        let response = try #require(read.last?.event.object("response"))
        #expect(response.text("model") == "tiny")
        #expect(response["tools"] == Array("[]".utf8) && response["parallel_tool_calls"] == Array("true".utf8))
        #expect(response.object("usage")?.object("output_tokens_details")?.integer("reasoning_tokens") == 0)
    }

    @Test
    func howTheBytesAreCutMakesNoDifference() throws {
        let bytes = Array((Self.llama(["a", "ö", "c"]) + Self.ending("aöc")).utf8)
        let whole = try Self.whole(Self.llama(["a", "ö", "c"]) + Self.ending("aöc"))
        for length in [1, 2, 3, 7, 64, 1000] {
            var events = try Self.events()
            var frames = events.begin()
            for start in stride(from: 0, to: bytes.count, by: length) {
                frames += events.read(Array(bytes[start..<min(start + length, bytes.count)]))
            }
            frames += events.end(.completed)
            #expect(frames == whole)
        }
    }

    @Test
    func anAttemptThatBreaksLeavesItsItemsIncomplete() throws {
        var events = try Self.events()
        var frames = events.begin()
        // The last frame is torn, so it is none.
        frames += events.read(Array((Self.llama(["one", " two"]) + "data: {\"type\":\"response.outp").utf8))
        frames += events.endAttempt()
        #expect(events.endAttempt().isEmpty)
        frames += events.read(Array((Self.llama(["x"], item: "msg_2") + Self.ending("x", item: "msg_2")).utf8))
        frames += events.end(.completed)
        #expect(frames.map(\.number) == Array(0..<frames.count))
        let read = try frames.map(Read.init)
        let closed = try #require(read.first { $0.type == "response.output_item.done" })
        #expect(closed.event.integer("output_index") == 0)
        let item = try #require(closed.event.object("item"))
        #expect(item.text("status") == "incomplete")
        #expect(item.objects("content").first?.text("text") == "one two")
        let added = read.filter { $0.type == "response.output_item.added" }
        #expect(added.map { $0.event.integer("output_index") } == [0, 1])
        #expect(read.filter { $0.type == "response.in_progress" }.count == 1)
        #expect(read.last?.event.object("response")?.objects("output").map { $0.text("id") } == ["msg_2"])
    }

    @Test
    func aServersOwnPlacesAreCountedAnew() throws {
        let first =
            #"data: {"type":"response.output_item.added","sequence_number":7,"output_index":3,"item":{"id":"a"}}"#
        let second =
            #"data: {"type":"response.output_item.added","sequence_number":9,"output_index":5,"item":{"id":"b"}}"#
        let delta = #"data: {"type":"response.output_text.delta","output_index":3,"content_index":2,"delta":"x"}"#
        let frames = try Self.whole([first, second, delta].joined(separator: "\n\n") + "\n\n")
        let read = try frames.map(Read.init)
        #expect(read[2...4].map { $0.event.integer("output_index") } == [0, 1, 0])
        #expect(read[4].event.integer("content_index") == 2)
        #expect(read[4].event.text("item_id") == "a")
    }

    @Test
    func aFailureEndsIt() throws {
        var events = try Self.events()
        _ = events.begin() + events.read(Array(Self.llama(["half"]).utf8))
        let frames = events.end(.failed(message: "it \"burns\""))
        let read = try frames.map(Read.init)
        #expect(read.map(\.type) == ["response.output_item.done", "response.failed"])
        let response = try #require(read.last?.event.object("response"))
        #expect(response.text("status") == "failed")
        #expect(response.object("error")?.text("code") == "server_error")
        #expect(response.object("error")?.text("message") == "it \"burns\"")
        #expect(response.objects("output").first?.text("status") == "incomplete")
        #expect(JSONObject(events.ended)?.text("status") == "failed")
    }

    @Test
    func aCancelEndsIt() throws {
        var events = try Self.events()
        _ = events.begin()
        let read = try events.end(.cancelled).map(Read.init)
        #expect(read.map(\.type) == ["response.incomplete"])
        #expect(read.last?.event.object("response")?.text("status") == "cancelled")
    }

    @Test
    func whatTheServerSaysOfItsEndWaitsForTheJobs() throws {
        var events = try Self.events()
        _ = events.begin()
        let types = try events.read(Array((Self.llama([]) + Self.ending("")).utf8)).map { try Read($0).type }
        #expect(!types.contains("response.completed"))
        // The gateway was killed before the job was known to have ended: the attempt is made again.
        _ = events.endAttempt()
        let second = events.read(Array((Self.llama(["n"], item: "msg_2") + Self.ending("n", item: "msg_2")).utf8))
        #expect(!second.isEmpty)
        #expect(try Read(try #require(events.end(.completed).last)).type == "response.completed")
    }

    @Test
    func anAnswerThatIsNoStreamIsToldAllTheSame() throws {
        let answer = #"{"id":"resp_x","object":"response","status":"completed","output":[{"id":"m","type":"message"}]}"#
        var events = try Self.events()
        _ = events.begin()
        let read = try events.end(.answered(Array(answer.utf8))).map(Read.init)
        #expect(
            read.map(\.type) == ["response.output_item.added", "response.output_item.done", "response.completed"])
        #expect(read.last?.event.object("response")?.text("id") == Self.name)
        var others = try Self.events()
        #expect(try others.end(.answered(Array("[]".utf8))).map(Read.init).map(\.type) == ["response.failed"])
    }

    @Test
    func theRequestStandsInTheResponse() throws {
        let request = #"{"model":"m","instructions":"be","metadata":{"a":"b"},"temperature":0.10,"input":"secret"}"#
        var events = try Self.events(request, previous: "resp_before")
        let response = try #require(try events.begin().first.map { try Read($0) }?.event.object("response"))
        #expect(response.text("status") == "queued" && response.text("model") == "m")
        #expect(response["temperature"] == Array("0.10".utf8))
        #expect(response.object("metadata")?.text("a") == "b")
        #expect(response.text("previous_response_id") == "resp_before")
        #expect(response["input"] == nil && response["background"] == Array("true".utf8))
        _ = events.read(Array(Self.llama(["so", " far"]).utf8))
        let current = try #require(JSONObject(events.response(isRunning: true)))
        #expect(current.text("status") == "in_progress")
        #expect(current.objects("output").first?.objects("content").first?.text("text") == "so far")
        #expect(current.objects("output").first?.text("status") == "in_progress")
    }

    @Test
    func anIdIsOneSpellingOfAJob() {
        #expect(ResponseFacts.ids.text(of: Self.id) == Self.name)
        #expect(ResponseFacts.ids.uuid(in: Self.name) == Self.id)
        for other in [
            "", "resp_", Self.name.uppercased(), String(Self.name.dropLast()), Self.name + "0", Self.id.description,
            "resp_" + Self.id.description, "rest_01920000000070008000000000000001",
            "resp_0192000000007000800000000000000g", "resp_ä1920000000070008000000000000001",
        ] {
            #expect(ResponseFacts.ids.uuid(in: other) == nil, "\(other)")
        }
    }

    @Test(arguments: ["resp_x", ""])
    func theServersNameIsFoundInItsAnswer(_ ending: String) {
        #expect(ResponseFacts.serversName(in: Array((Self.llama([]) + ending).utf8)) == "resp_x")
        #expect(ResponseFacts.serversName(in: Array(#"{"id":"resp_y"}"#.utf8)) == "resp_y")
        #expect(ResponseFacts.serversName(in: Array("data: 1\n\n".utf8)) == nil)
    }

    @Test
    func framesThatAreNoEventsAreLeftOut() throws {
        let noise = [
            ": ping", "data: [DONE]", "data: 5", "data: {", "event: error\ndata: {\"type\":\"error\"}",
            "data: {\"type\":\"response.queued\"}", "id: 7", "retry: 1",
        ]
        let frames = try Self.whole(noise.joined(separator: "\n\n") + "\n\n")
        #expect(try frames.map { try Read($0).type } == ["response.created", "response.queued", "response.failed"])
    }
}
