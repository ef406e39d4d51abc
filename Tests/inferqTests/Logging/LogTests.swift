import InferqCore
import InferqQueue
import InferqStore
import Logging
import Synchronization
import Testing

@testable import inferq

/// Lines that a log handler wrote.
private final class Lines: Sendable {
    private let lines = Mutex<[String]>([])

    var all: [String] { lines.withLock { $0 } }

    func add(_ line: String) {
        lines.withLock { $0.append(line) }
    }
}

struct LogTests {
    private let lines = Lines()
    private let threshold = LogThreshold(.info)
    private let now = Timestamp(milliseconds: 1_795_451_507_123)

    private func textLogger(isColored: Bool = false) -> Logger {
        Logger(label: "inferq") { _ in
            TextLogHandler(
                LogContext(threshold: threshold), isColored: isColored, now: { now }, write: { lines.add($0) })
        }
    }

    private func jsonLogger() -> Logger {
        Logger(label: "inferq") { _ in
            JSONLogHandler(LogContext(threshold: threshold), now: { now }, write: { lines.add($0) })
        }
    }

    private func journalLogger() -> Logger {
        Logger(label: "inferq") { _ in
            JournalLogHandler(LogContext(threshold: threshold)) { entry in
                lines.add(entry.map { "\($0.name)=\($0.value)" }.joined(separator: " "))
            }
        }
    }

    @Test
    func aTextLineHasTimeLevelMessageAndSortedKeys() {
        var logger = textLogger()
        logger[metadataKey: "model"] = "ocr"
        logger.info("job ended", metadata: ["job_id": "a-1", "attempt": "\(2)"])
        logger.warning("disk is full")
        #expect(
            lines.all == [
                "2026-11-23T16:31:47.123Z info  job ended attempt=2 job_id=a-1 model=ocr",
                "2026-11-23T16:31:47.123Z warning disk is full model=ocr",
            ])
    }

    @Test
    func textValuesCannotForgeALine() {
        textLogger().info(
            "a\nb\u{1B}[31m",
            metadata: [
                "a": "x\ny", "b": "", "c": "two words", "d": "k=v", "e": "\"q\"", "f": "C:\\n", "g": "\u{202E}x",
                "h h": "é", "i": ["x", "y"], "j": ["k": "v", "l": ["m": "n"]],
            ])
        #expect(
            lines.all == [
                #"""
                2026-11-23T16:31:47.123Z info  a\nb\u001b[31m a="x\ny" b="" c="two words" d="k=v" e="\"q\"" f="C:\\n" \#
                g="\u202ex" "h h"=é i="[\"x\",\"y\"]" j.k=v j.l.m=n
                """#
            ])
    }

    @Test
    func aTerminalGetsTheLevelInColour() {
        let logger = textLogger(isColored: true)
        logger.error("x")
        logger.info("y")
        #expect(
            lines.all == [
                "2026-11-23T16:31:47.123Z \u{1B}[31merror\u{1B}[0m x", "2026-11-23T16:31:47.123Z info  y",
            ])
    }

    @Test
    func aJSONLineIsOneObject() {
        let number = 7
        jsonLogger().info(
            "a\n\"b\"",
            metadata: [
                "count": .stringConvertible(number), "flag": .stringConvertible(true), "part": .stringConvertible(0.5),
                "text": "7", "level": "mine", "list": ["x", ["k": "\u{2028}"]], "tab": "\t\\",
            ])
        #expect(
            lines.all == [
                #"""
                {"time":"2026-11-23T16:31:47.123Z","level":"info","message":"a\n\"b\"","count":7,"flag":true,\#
                "level_":"mine","list":["x",{"k":"\u2028"}],"part":0.5,"tab":"\t\\","text":"7"}
                """#
            ])
    }

    @Test
    func theJournalGetsFields() {
        let logger = journalLogger()
        logger.error("a\nb", metadata: ["job_id": "x", "model-server": "http://h", "at": ["line": "1"]])
        logger.notice("n")
        #expect(
            lines.all == [
                "MESSAGE=a\nb PRIORITY=3 INFERQ_AT_LINE=1 INFERQ_JOB_ID=x INFERQ_MODEL_SERVER=http://h",
                "MESSAGE=n PRIORITY=5",
            ])
    }

    @Test
    func theSharedLevelChangesForLoggersThatAreInUse() {
        let logger = textLogger()
        logger.debug("unheard")
        threshold.level = .debug
        logger.debug("heard")
        threshold.level = .error
        logger.warning("unheard")
        #expect(lines.all == ["2026-11-23T16:31:47.123Z debug heard"])
    }

    @Test
    func levelAndMetadataOfOneLoggerAreItsOwn() {
        var first = textLogger()
        first.logLevel = .debug
        first[metadataKey: "k"] = "1"
        var second = first
        second.logLevel = .error
        second[metadataKey: "k"] = "2"
        #expect(first.logLevel == .debug && second.logLevel == .error)
        #expect(first[metadataKey: "k"] == "1" && second[metadataKey: "k"] == "2")
        #expect(textLogger().logLevel == .info)
    }

    @Test
    func theStatementsMetadataWinsOverTheProvidersAndThatOverTheLoggers() {
        let provider = Logger.MetadataProvider { ["a": "provider", "b": "provider"] }
        var logger = Logger(label: "inferq") { _ in
            let context = LogContext(threshold: threshold, provider: provider)
            return TextLogHandler(context, isColored: false, now: { now }, write: { lines.add($0) })
        }
        logger[metadataKey: "a"] = "logger"
        logger[metadataKey: "c"] = "logger"
        logger.info("x", metadata: ["b": "statement"])
        #expect(lines.all == ["2026-11-23T16:31:47.123Z info  x a=provider b=statement c=logger"])
    }

    @Test
    func anErrorOfTheStatementIsShown() {
        textLogger().warning("x", error: Refusal("a", "b"))
        #expect(lines.all.first?.contains("error=") == true)
    }

    @Test(
        arguments: [
            (LogFormat.auto, "8:1", "8:1", false, LogFormat.journal), (.auto, "8:1", "8:2", false, .json),
            (.auto, "8:1", "8:2", true, .text), (.auto, nil, "8:1", true, .text), (.auto, nil, "", false, .json),
            (.auto, "", "", false, .json), (.text, "8:1", "8:1", false, .text), (.journal, nil, "8:1", true, .journal),
        ] as [(LogFormat, String?, String, Bool, LogFormat)])
    func theFormatFollowsStandardError(
        _ format: LogFormat, _ stream: String?, _ identity: String, _ isTerminal: Bool, _ expected: LogFormat
    ) {
        var environment: [String: String] = [:]
        environment["JOURNAL_STREAM"] = stream
        let error = ErrorOutput(isTerminal: isTerminal, identity: identity)
        #expect(LogOutput.resolve(format, environment: environment, error: error) == expected)
    }
}
