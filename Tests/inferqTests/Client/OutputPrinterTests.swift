import Testing

@testable import inferq

struct OutputPrinterTests {
    private final class Paper {
        var bytes: [UInt8] = []
        var text: String { String(decoding: bytes, as: UTF8.self) }
    }

    private static let stream = AnswerType(contentType: "text/event-stream")
    private static let plain = AnswerType(contentType: "text/plain")

    private func delta(_ text: String) -> [UInt8] {
        Array("data: {\"choices\":[{\"delta\":{\"content\":\"\(text)\"}}]}\n\n".utf8)
    }

    private func printer(_ form: OutputPrinter.Form, terminal: Bool = false) -> (OutputPrinter, Paper) {
        let paper = Paper()
        return (OutputPrinter(form, isOnTerminal: terminal) { paper.bytes += $0 }, paper)
    }

    @Test(arguments: [(false, "ab\nc"), (true, "ab\nc\n")])
    func anAttemptBeginsOnALineOfItsOwn(_ isOnTerminal: Bool, _ text: String) throws {
        let (printer, paper) = printer(.text, terminal: isOnTerminal)
        try printer.begin(1, Self.stream)
        try printer.take(delta("a"))
        try printer.take(delta("b") + Array("data: {\"cho".utf8))
        try printer.begin(2, Self.stream)
        try printer.take(delta("c"))
        try printer.end()
        #expect(paper.text == text)
        #expect(printer.attempt == 2)
    }

    @Test
    func aLineThatHasEndedIsNotBroken() throws {
        let (printer, paper) = printer(.text)
        try printer.begin(1, Self.plain)
        try printer.take(Array("a\n".utf8))
        try printer.begin(2, Self.plain)
        try printer.take(Array("b".utf8))
        try printer.end()
        #expect(paper.text == "a\nb")
    }

    @Test(arguments: [true, false])
    func rawBytesAreAsTheyCame(_ isOnTerminal: Bool) throws {
        let (printer, paper) = printer(.raw, terminal: isOnTerminal)
        try printer.begin(1, Self.stream)
        try printer.take(delta("a") + [0xFF, 0x1B, 0x0A])
        try printer.begin(2, Self.stream)
        try printer.take(delta("b"))
        try printer.end()
        #expect(paper.bytes == delta("a") + [0xFF, 0x1B, 0x0A] + delta("b"))
        #expect(printer.byteCount == paper.bytes.count)
    }

    @Test
    func aTerminalGetsNoCommandOfAStranger() throws {
        let (printer, paper) = printer(.text, terminal: true)
        try printer.begin(1, Self.stream)
        try printer.take(delta("\\u001b[2J\\ta\\r\\nb\\rc"))
        try printer.end()
        #expect(paper.text == "\\u001b[2J\ta\nb\\rc\n")
    }

    @Test(arguments: [
        ("text/event-stream", nil, true), ("text/plain; charset=utf-8", nil, true), ("application/x-ndjson", nil, true),
        ("application/jsonl", nil, true), ("application/json", nil, false), ("image/png", nil, false),
        ("", nil, false), ("text/plain", "gzip", false),
    ])
    func textAloneIsPrintedAsItComes(_ type: String, _ encoding: String?, _ isPrinted: Bool) {
        let head = AnswerType(contentType: type, encoding: encoding)
        #expect(printer(.text).0.printsAsItComes(head) == isPrinted)
        #expect(printer(.raw).0.printsAsItComes(head))
    }

    @Test
    func encodedBytesAreNotReadForDeltas() throws {
        let (printer, paper) = printer(.text)
        try printer.begin(1, AnswerType(contentType: "text/event-stream", encoding: "gzip"))
        try printer.take([0x1F, 0x8B, 0x0A, 0x0A])
        try printer.end()
        #expect(paper.bytes == [0x1F, 0x8B, 0x0A, 0x0A])
    }
}

struct TerminalTextTests {
    @Test(arguments: [
        ("é😀日本\n\tx", "é😀日本\n\tx"), ("a\r\nb\r", "a\nb\\r"), ("\r\r\n", "\\r\n"),
        ("\u{1B}[1m\u{9B}", "\\u001b[1m\\u009b"), ("", ""),
    ])
    func theTextIsTheSameWhereverTheBytesAreCut(_ given: String, _ shown: String) {
        let bytes = Array(given.utf8)
        for cut in 0...bytes.count {
            var text = TerminalText()
            let parts = text.push(Array(bytes[..<cut])) + text.push(Array(bytes[cut...])) + text.end()
            #expect(String(decoding: parts, as: UTF8.self) == shown)
        }
    }

    @Test(arguments: [([0xFF, 0x61], "\u{FFFD}a"), ([0x61, 0xF0, 0x9F], "a\u{FFFD}"), ([0xC3, 0x0A], "\u{FFFD}\n")])
    func whatIsNoTextIsShownAsSuch(_ bytes: [UInt8], _ shown: String) {
        var text = TerminalText()
        #expect(String(decoding: text.push(bytes) + text.end(), as: UTF8.self) == shown)
    }
}
