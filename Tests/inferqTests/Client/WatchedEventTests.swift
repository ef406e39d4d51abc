import InferqCore
import Testing

@testable import inferq

struct WatchedEventTests {
    private func event(_ json: String, id: String = "7") throws -> WatchedEvent {
        try WatchedEvent(EventParser.Event(id: id, type: "message", data: json))
    }

    private func event(_ type: String, _ status: String, _ data: String) throws -> WatchedEvent {
        try event(#"{"detail_type":"Inf:Task:\#(type)","status":"\#(status)","data":\#(data)}"#)
    }

    static let texts: [(type: String, status: String, data: String, text: String)] = [
        ("Updated", "PENDING", #"{"message":"accepted","attempt":0}"#, "accepted"),
        ("Updated", "RUNNING", #"{"message":"attempt 1 started"}"#, "attempt 1 started"),
        ("Updated", "RUNNING", "{}", "running"),
        ("Notify", "RUNNING", #"{"message":"page 3","progress":0.456}"#, "45 %  page 3"),
        ("Notify", "RUNNING", #"{"progress":1.0}"#, "100 %"),
        ("Notify", "RUNNING", #"{"progress":-5e300}"#, "0 %"),
        ("Notify", "RUNNING", #"{"progress":"half","message":["x"]}"#, "progress"),
        ("Notify", "RUNNING", #"{"message":"\u001b[2Jx\r\n"}"#, "\\u001b[2Jx\\r\\n"),
        ("LayerReady", "RUNNING", #"{"predicted_layers":[{}]}"#, "1 predicted layer is ready"),
        ("LayerReady", "RUNNING", #"{"predicted_layers":[{"a":[1]},2,null]}"#, "3 predicted layers are ready"),
        (
            "Error", "RUNNING", #"{"error":{"code":"timeout","message":"too slow"},"attempt":2}"#,
            "attempt 2 failed (timeout: too slow)"
        ),
        (
            "Updated", "COMPLETED",
            #"{"created_at":"2026-11-23T16:31:47.123Z","finished_at":"2026-11-23T16:31:50.000Z","output":{"message":1}}"#,
            "completed in 2.8 s"
        ),
        ("Updated", "COMPLETED", #"{"created_at":5}"#, "completed"),
        (
            "Failed", "ERROR", #"{"error":{"code":"http_error","message":"it answered 400"}}"#,
            "http_error: it answered 400"
        ),
        ("Failed", "ERROR", #"{"error":null}"#, "failed"),
        ("Updated", "CANCELLED", "{}", "cancelled"),
    ]

    @Test(arguments: texts)
    func anEventIsToldInWords(_ sample: (type: String, status: String, data: String, text: String)) throws {
        #expect(try event(sample.type, sample.status, sample.data).text == sample.text)
    }

    @Test(arguments: [
        ("PENDING", false), ("RUNNING", false), ("COMPLETED", true), ("ERROR", true), ("CANCELLED", true),
    ])
    func threeStatusesAreFinal(_ status: String, _ isLast: Bool) throws {
        #expect(try event("Updated", status, "{}").isLast == isLast)
    }

    @Test
    func theLineForProgramsKeepsTheBytes() throws {
        let json = #"{"detail_type":"Inf:Task:Notify","status":"RUNNING","data":{"n":1.50e2,"b":1,"a":2}}"#
        #expect(try event(json).line == #"{"id":7,"# + json.dropFirst())
    }

    @Test(arguments: [
        "", "{}", "[]", "null", #"{"detail_type":"x","status":"RUNNING""#, #"{"detail_type":1,"status":"x","data":{}}"#,
    ])
    func anythingElseIsNoEvent(_ json: String) {
        #expect(throws: ClientError.self) { try event(json) }
    }

    @Test(arguments: ["", "x", "1.5"])
    func anEventHasANumber(_ id: String) {
        let json = #"{"detail_type":"x","status":"RUNNING","data":{}}"#
        #expect(throws: ClientError.self) { try event(json, id: id) }
    }

    @Test
    func anEventBringsAPartOfTheAnswer() throws {
        let text = try event("Output", "RUNNING", #"{"attempt":2,"from":7,"to":10,"text":"\u00e9\n"}"#).piece
        #expect(text == WatchedEvent.Piece(attempt: 2, start: 7, bytes: [0xC3, 0xA9, 0x0A]))
        #expect(text?.end == 10)
        let bytes = try event("Output", "RUNNING", #"{"attempt":1,"from":0,"to":2,"base64":"/wA="}"#).piece
        #expect(bytes == WatchedEvent.Piece(attempt: 1, start: 0, bytes: [0xFF, 0]))
        #expect(try event("Notify", "RUNNING", #"{"attempt":1,"from":0,"to":2,"text":"ab"}"#).piece == nil)
    }

    @Test(arguments: [
        "{}", #"{"attempt":1,"text":"a"}"#, #"{"from":0,"text":"a"}"#, #"{"attempt":1,"from":0,"base64":"!"}"#,
    ])
    func aPartHasAPlaceAndBytes(_ data: String) {
        #expect(throws: ClientError.self) { try event("Output", "RUNNING", data) }
    }

    @Test
    func theProgressLineForgetsTheProgressOfAnEarlierAttempt() throws {
        var content = ProgressLine.Content()
        content.take(try event("Updated", "RUNNING", #"{"message":"attempt 1 started","attempt":1}"#))
        content.take(try event("Notify", "RUNNING", #"{"message":"page 3","progress":0.5}"#))
        #expect(content.parts(elapsed: .seconds(75)) == ["1:15", "50 %", "page 3"])
        content.take(try event("Updated", "RUNNING", #"{"message":"attempt 2 started","attempt":2}"#))
        #expect(content.parts(elapsed: .seconds(5)) == ["0:05", "attempt 2 started"])
        content.take(try event("Notify", "RUNNING", #"{"progress":0.1}"#))
        content.take(try event("Notify", "RUNNING", #"{"message":"page 1"}"#))
        #expect(content.parts(elapsed: .seconds(6)) == ["0:06", "attempt 2", "10 %", "page 1"])
    }

    @Test(arguments: [("abc", 3, "abc"), ("abc", 2, "ab"), ("abc", -1, ""), ("日本", 3, "日"), ("é😀", 3, "é😀")])
    func theProgressLineFitsTheTerminal(_ text: String, _ columns: Int, _ shown: String) {
        #expect(ProgressLine.cut(text, to: columns) == shown)
    }
}
