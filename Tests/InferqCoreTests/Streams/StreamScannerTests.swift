import InferqCore
import TestSupport
import Testing

/// What is found does not depend on where the bytes were cut.
struct StreamScannerTests {
    @Test(arguments: StreamSample.all)
    func everyByteTellsWhatHasCome(_ sample: StreamSample) {
        let bytes = sample.bytes
        var scanner = StreamScanner(sample)
        for count in 1...bytes.count {
            scanner.read(bytes[count - 1..<count])
            expect(scanner, sample, bytes, count)
        }
    }

    @Test(arguments: StreamSample.all)
    func twoReadsCutAnywhereTellWhatOneTells(_ sample: StreamSample) {
        let bytes = sample.bytes
        for cut in 0...bytes.count {
            var scanner = StreamScanner(sample)
            scanner.read(bytes[..<cut])
            expect(scanner, sample, bytes, cut)
            scanner.read(bytes[cut...])
            expect(scanner, sample, bytes, bytes.count)
        }
    }

    private func expect(_ scanner: StreamScanner, _ sample: StreamSample, _ bytes: [UInt8], _ count: Int) {
        let frames = FramesByLine(bytes[..<count], sample.framing)
        #expect(scanner.byteCount == count)
        #expect(scanner.frameEnd == frames.frameEnd, "after \(count)")
        #expect(scanner.progress == frames.progress, "after \(count)")
        // A line that ends with CRLF has ended with the CR.
        let isReturn = count < bytes.count && bytes[count] == 0x0A && count > 0 && bytes[count - 1] == 0x0D
        let read = isReturn && sample.framing == .events ? count + 1 : count
        #expect(scanner.hasEndMark == (sample.markEnd.map { $0 <= read } ?? false), "after \(count)")
        let hasError = sample.errorEnd.map { $0 <= read } ?? false
        #expect(scanner.error == (hasError ? sample.error : nil), "after \(count)")
        #expect(scanner.beganWithError == (hasError && sample.beginsWithError), "after \(count)")
    }

    @Test(arguments: StreamSample.all)
    func anErrorAtFirstIsHeldBackFromItsFirstByteOn(_ sample: StreamSample) {
        let bytes = sample.bytes
        var scanner = StreamScanner(sample)
        for count in 1...bytes.count {
            scanner.read(bytes[count - 1..<count])
            guard sample.beginsWithError, !scanner.beganWithError else { continue }
            let isInFrame = FramesByLine(bytes[..<count], sample.framing).progress > 0
            #expect(scanner.mayBeginWithError == isInFrame, "after \(count)")
        }
        #expect(!scanner.mayBeginWithError)
    }

    /// As the same bytes in one read, whatever they are: nothing traps, and framing is what it is line by line.
    @Test(arguments: 0..<UInt64(400))
    func whateverComesIsReadTheSameInAnyPieces(seed: UInt64) {
        var numbers = SplitMix64(seed: seed)
        let sample = StreamSample.all[Int.random(in: 0..<StreamSample.all.count, using: &numbers)]
        var bytes = sample.bytes
        for _ in 0..<Int.random(in: 1...6, using: &numbers) { Self.mutation.mutate(&bytes, &numbers) }
        var atOnce = StreamScanner(sample)
        atOnce.read(bytes)
        var inPieces = StreamScanner(sample)
        var index = 0
        while index < bytes.count {
            let end = min(bytes.count, index + Int.random(in: 1...20, using: &numbers))
            inPieces.read(bytes[index..<end])
            index = end
            let frames = FramesByLine(bytes[..<end], sample.framing)
            #expect(inPieces.frameEnd == frames.frameEnd, "seed \(seed), after \(end)")
            #expect(inPieces.progress == frames.progress, "seed \(seed), after \(end)")
        }
        #expect(inPieces.all == atOnce.all, "seed \(seed)")
        atOnce.finish()
        inPieces.finish()
        #expect(inPieces.all == atOnce.all, "seed \(seed)")
    }

    private static let mutation = Mutation(
        pieces: [
            "\r", "\n", "\r\n", "\n\n", ":", "data:", "data", "event: error", "error: ", "\u{FEFF}", "{", "}", "\"",
            "\\",
            "[", "]", #"{"error":"#, #""error":true,"#, #""type":"error","#, #""error":{"message":"#, "null", "1e999",
            ",", "[DONE]", #""done":true"#, "event: response.failed\n", " ",
        ].map { Array($0.utf8) } + [[0xEF], [0xEF, 0xBB], [0xFF], [0]]
    )

    @Test
    func bytesWithoutFramesAreAllShownAndAllProgress() {
        var scanner = StreamScanner(framing: .none, mark: .none, findsErrors: true)
        for text in ["data: {\"error\":1}", "\n\n", ":"] { scanner.read(text) }
        #expect(
            scanner.all
                == ScannedStream(
                    byteCount: 20, frameEnd: 20, progress: 20, hasEndMark: true, error: nil, beganWithError: false,
                    mayBeginWithError: false
                )
        )
    }

    @Test
    func nothingIsAnErrorWhereNoneIsLookedFor() {
        var scanner = StreamScanner(framing: .events, mark: .done, findsErrors: false)
        scanner.read("event: error\ndata: {\"error\":1}\n")
        #expect(!scanner.mayBeginWithError)
        scanner.read("\ndata: [DONE]\n\n")
        #expect(scanner.error == nil && scanner.hasEndMark && !scanner.beganWithError)
    }

    @Test
    func anUntouchedStreamHasNothing() {
        var scanner = StreamScanner(framing: .events, mark: .done, findsErrors: true)
        scanner.read([])
        scanner.finish()
        #expect(
            scanner.all
                == ScannedStream(
                    byteCount: 0, frameEnd: 0, progress: 0, hasEndMark: false, error: nil, beganWithError: false,
                    mayBeginWithError: false
                )
        )
    }
}
