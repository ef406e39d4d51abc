import Testing

@testable import InferqCore

struct EventParserTests {
    typealias Event = EventParser.Event

    private func event(_ data: String, id: String = "", type: String = "message") -> Event {
        Event(id: id, type: type, data: data)
    }

    private func events(of text: String, chunk: Int = .max) throws -> [Event] {
        var stream = EventParser()
        var rest = Array(text.utf8)[...]
        var events: [Event] = []
        while !rest.isEmpty {
            events += try stream.push(rest.prefix(chunk))
            rest = rest.dropFirst(chunk)
        }
        return events
    }

    /// Streams with LF and the data of their events.
    static let streams: [(String, [String])] = [
        ("", []),
        ("\n\n", []),
        ("data: a\n\n", ["a"]),
        ("data:a\n\n", ["a"]),
        ("data:  a \n\n", [" a "]),
        ("data: a\ndata: b\n\n", ["a\nb"]),
        ("data: a\ndata\ndata:\n\n", ["a\n\n"]),
        ("data\n\n", [""]),
        ("data: a", []),
        ("data: a\n", []),
        ("data: a\n\ndata: b\n", ["a"]),
        ("data: a\n\n\n\ndata: b\n\n", ["a", "b"]),
        (":\ndata: a\n: more\n\n", ["a"]),
        (": ping\n\n", []),
        ("retry: 2000\n\n", []),
        ("id: 1\n\n", []),
        ("event: x\n\ndata: a\n\n", ["a"]),
        ("Data: a\n data: b\nname: c\n\n", []),
        ("data: {\"a\": \":\"}\n\n", ["{\"a\": \":\"}"]),
        ("data: a\u{85}b\u{2028}c\u{C}d\n\n", ["a\u{85}b\u{2028}c\u{C}d"]),
        ("data: é😀\n\n", ["é😀"]),
        ("\u{FEFF}data: a\n\n", ["a"]),
        ("\u{FEFF}\u{FEFF}data: a\n\ndata: b\n\n", ["b"]),
        ("\n\u{FEFF}data: a\n\n", []),
        ("data: \u{FEFF}a\n\n", ["\u{FEFF}a"]),
    ]

    @Test(arguments: streams, ["\n", "\r\n", "\r"])
    func everyEndOfLineMeansTheSame(_ stream: (text: String, data: [String]), _ end: String) throws {
        let text = stream.text.replacing("\n", with: end)
        #expect(try events(of: text).map(\.data) == stream.data)
    }

    @Test(arguments: streams, ["\n", "\r\n", "\r"])
    func chunksMayEndAnywhere(_ stream: (text: String, data: [String]), _ end: String) throws {
        let text = stream.text.replacing("\n", with: end)
        for chunk in 1...7 {
            #expect(try events(of: text, chunk: chunk).map(\.data) == stream.data, "in chunks of \(chunk) bytes")
        }
    }

    @Test
    func anEventComesWithTheEmptyLineAndNotLater() throws {
        var stream = EventParser()
        #expect(try stream.push("data: a\r\n".utf8).isEmpty)
        #expect(try stream.push("\r".utf8) == [event("a")])
        #expect(try stream.push("\n".utf8).isEmpty, "the LF belongs to the CR before it")
        #expect(try stream.push("data: b\n\n".utf8) == [event("b")])
    }

    @Test
    func anIDHoldsUntilAnotherOneComes() throws {
        let text = "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\nid: 2\0\ndata: d\n\nid: é\ndata: e\n\n"
        let expected = [
            event("a", id: "1"), event("b", id: "1"), event("c"), event("d"), event("e", id: "é"),
        ]
        #expect(try events(of: text) == expected)
    }

    @Test
    func anIDCountsOnlyWithTheEmptyLine() throws {
        var stream = EventParser()
        _ = try stream.push("id: 1\ndata: a\n\nid: 2\ndata: b\n".utf8)
        #expect(stream.lastEventID == "1")
        _ = try stream.push("\nid: 3\n\n".utf8)
        #expect(stream.lastEventID == "3")
    }

    @Test
    func aTypeHoldsForOneEvent() throws {
        let text = "event: x\ndata: a\n\ndata: b\n\nevent: x\nevent:\ndata: c\n\n"
        #expect(try events(of: text) == [event("a", type: "x"), event("b"), event("c")])
    }

    @Test(arguments: [
        ("retry: 2000\n", 2000), ("retry:0\n", 0), ("retry: 007\n", 7), ("retry: 2s\n", nil), ("retry: -1\n", nil),
        ("retry: 1.5\n", nil), ("retry:\n", nil), ("retry\n", nil), ("retry:  5\n", nil), ("retry: ٣\n", nil),
        ("retry: 99999999999999999999\n", nil), ("retry: 5\nretry: x\n", 5), ("retry: 5\nretry: 6\n", 6),
    ])
    func aPauseIsDigitsAlone(_ text: String, _ milliseconds: Int?) throws {
        var stream = EventParser()
        _ = try stream.push(text.utf8)
        #expect(stream.retry == milliseconds.map { .milliseconds($0) })
    }

    @Test
    func whatIsNotUTF8BecomesReplacementCharacters() throws {
        var stream = EventParser()
        let bytes = Array("data: a".utf8) + [0xFF, 0xC3] + Array("\n\n".utf8)
        #expect(try stream.push(bytes) == [event("a\u{FFFD}\u{FFFD}")])
    }

    @Test
    func aNewResponseForgetsTheCutOffEventAndKeepsIDAndPause() throws {
        var stream = EventParser()
        _ = try stream.push("retry: 10\nid: 1\ndata: a\n\nid: 2\nevent: x\ndata: lost\r".utf8)
        stream.restart()
        #expect(stream.lastEventID == "1")
        #expect(stream.retry == .milliseconds(10))
        #expect(try stream.push("\u{FEFF}data: b\n\n".utf8) == [event("b", id: "1")])
    }

    @Test
    func aResponseThatSaysWhereItBeginsCountsWhereNoIDIsKnown() throws {
        var stream = EventParser()
        stream.restart(after: "41")
        #expect(stream.lastEventID == "41")
        #expect(try stream.push("data: a\n\nid: 43\ndata: b\n\n".utf8).map(\.id) == ["41", "43"])
        stream.restart(after: "50")
        #expect(stream.lastEventID == "43")
    }

    @Test
    func aLineOrAnEventWithoutEndIsAnError() throws {
        var long = EventParser(limit: 10)
        #expect(throws: EventParser.TooLong.self) { try long.push("data: 12345".utf8) }
        var many = EventParser(limit: 10)
        #expect(throws: EventParser.TooLong.self) { try many.push("data:1234\ndata:1234\ndata:1234\n".utf8) }
        var separate = EventParser(limit: 10)
        #expect(try separate.push("data:1234\n\ndata:1234\n\ndata:1234\n\n".utf8).count == 3)
    }
}
