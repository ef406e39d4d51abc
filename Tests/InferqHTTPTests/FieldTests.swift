import InferqCore
import InferqQueue
import InferqStore
import Testing

@testable import InferqHTTP

/// The small grammars of HTTP fields.
struct FieldTests {
    @Test(arguments: [
        ("application/json", true), ("Application/JSON; charset=utf-8", true), ("application/geo+json", true),
        ("text/json", false), ("image/png", false),
    ])
    func aBodyIsJSONByItsType(_ field: String, _ isJSON: Bool) {
        #expect(MediaType(field)?.isJSON == isJSON)
    }

    @Test(arguments: ["", "json", "a/b/c", "application/", "/json", "text plain/x"])
    func whatIsNoMediaTypeIsNone(_ field: String) {
        #expect(MediaType(field) == nil)
    }

    @Test(arguments: [
        (nil, true), ("", true), ("*/*", true), ("application/json", true), ("application/*", true),
        ("text/html, */*;q=0.1", true), ("text/event-stream", false), ("application/json;q=0", false),
        ("*/*, application/json;q=0", false), ("application/json;q=0.5, */*;q=0", true), ("text/*", false),
    ])
    func theMostSpecificRangeDecidesWhatIsAccepted(_ field: String?, _ isAdmitted: Bool) {
        #expect(Accept.admits("application/json", field) == isAdmitted)
    }

    @Test(arguments: [
        ("127.0.0.1:8484", "127.0.0.1", true), ("[::1]:8484", "::1", true), ("[::1]", "::1", true),
        ("LocalHost:80", "localhost", false), ("evil.example", "evil.example", false),
        ("127.0.0.1.evil.example:80", "127.0.0.1.evil.example", false), ("1.2.3.4", "1.2.3.4", true),
        ("localhost.", "localhost", false), ("LOCALHOST.:80", "localhost", false), ("localhost..", "localhost.", false),
        (".", "", false), ("localhost.evil.example.", "localhost.evil.example", false),
    ])
    func aHostIsReadWithoutItsPort(_ field: String, _ name: String, _ isAddress: Bool) {
        let host = HostName(field)
        #expect(host.text == name)
        #expect(host.isAddress == isAddress)
    }

    @Test(arguments: [
        ("0", Duration.zero), ("7", .seconds(7)), (" 120 ", .seconds(120)),
        ("Mon, 23 Nov 2026 16:31:50 GMT", .seconds(3)), ("Mon, 23 Nov 2026 16:31:40 GMT", .zero),
        ("Monday, 23-Nov-26 16:31:50 GMT", .seconds(3)), ("Mon Nov 23 16:31:50 2026", .seconds(3)),
        ("Mon Nov  3 16:31:50 2025", .zero), ("Tue Dec  1 00:00:00 2026", .seconds(631_693)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", .zero), ("Friday, 01-Jan-77 00:00:00 GMT", .zero),
        ("999999999999999999999999999999", .seconds(1_000_000)), ("000000000000000000000000000007", .seconds(7)),
    ])
    func retryAfterIsSecondsOrADate(_ field: String, _ pause: Duration) throws {
        let now = try #require(Timestamp(rfc3339: "2026-11-23T16:31:47Z"))
        #expect(RetryAfter.duration(field, now: now) == pause)
    }

    @Test(arguments: [
        "", "-1", "soon", "1.5", "Mon, 23 Nov 2026", "Mon, 33 Nov 2026 16:31:50 GMT", "-999999999999999999999999999999",
        "Mon, 23 Nov 2026 16:31:50", "Monday, 23-Nov-2026 16:31:50 GMT", "Monday, 23-Nov-+1 16:31:50 GMT",
        "Mon, 23 Nov 26 16:31:50 GMT", "Mon Nov 23 16:31:50", "Mon Nov 123 16:31:50 2026",
        "Mon Nov 23 16:31:50+01:00 2026",
        ",", ", GMT", "Mon, - - GMT", "Mon, -- x GMT", "Mon, é3 Nov 2026 16:31:50 GMT", "9999999999999999999999 s",
    ])
    func aMalformedRetryAfterIsNone(_ field: String) {
        #expect(RetryAfter.duration(field, now: .now) == nil)
    }

    @Test func theDateFieldIsAnIMFFixdate() throws {
        let moment = try #require(Timestamp(rfc3339: "1994-11-06T08:49:37Z"))
        #expect(DateHeader.text(moment) == "Sun, 06 Nov 1994 08:49:37 GMT")
    }

    @Test func aTraceIsContinuedWithASpanOfItsOwn() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        let child = TraceContext.child(of: parent)
        #expect(child.hasPrefix("00-4bf92f3577b34da6a3ce929d0e0e4736-"))
        #expect(child.hasSuffix("-01"))
        #expect(child != parent)
        #expect(child.count == parent.count)
    }

    @Test(arguments: [
        nil, "", "00-0-0-01", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
    ])
    func aTraceThatCannotBeReadBeginsAnew(_ parent: String?) {
        let child = TraceContext.child(of: parent)
        #expect(child.hasPrefix("00-"))
        #expect(child.count == 55)
        #expect(!child.contains("4bf92f3577b34da6a3ce929d0e0e4736"))
    }
}
