import TestSupport
import Testing

@testable import InferqCore

struct StreamOffsetTests {
    @Test(arguments: [
        (1, 0, "0001_000000000000"), (2, 812, "0002_000000000812"), (12345, 1_234_567_890_123, "12345_1234567890123"),
    ])
    func itIsReadAsItIsWritten(_ attempt: Int, _ byte: Int, _ text: String) {
        let offset = StreamOffset(attempt: attempt, byte: byte)
        #expect(offset.text == text)
        #expect(StreamOffset(text) == offset)
    }

    @Test(arguments: ["1_0", "01_00", "000000001_0"])
    func clientsMayComposeIt(_ text: String) {
        #expect(StreamOffset(text) == StreamOffset(attempt: 1, byte: 0))
    }

    @Test(arguments: [
        "", "1", "_", "1_", "_1", "0_0", "1_2_3", "-1_0", "1_-1", "+1_0", " 1_0", "1_0 ", "1_x", "١_0",
        "1_9999999999999999999", "now", "-1",
    ])
    func nonsenseIsNone(_ text: String) {
        #expect(StreamOffset(text) == nil)
    }

    @Test
    func headsAreReadAsTheyAreStored() {
        let fields = [HeaderField("X-Own", "\"1\" é"), HeaderField("x-own", "")]
        for head in [
            StreamHead(contentType: nil, contentEncoding: nil, answer: nil),
            StreamHead(contentType: "text/event-stream", contentEncoding: "gzip", answer: nil),
            StreamHead(contentType: "a/b", contentEncoding: nil, answer: AnswerHead(status: 206, headers: fields)),
        ] {
            #expect(StreamHead(json: head.json) == head)
        }
        #expect(StreamHead(json: [1]) == StreamHead(contentType: nil, contentEncoding: nil, answer: nil))
    }
}
