import InferqCore
import Testing

struct DurationTextTests {
    @Test(arguments: [
        ("0", Duration.zero), ("0s", .zero), ("30", .seconds(30)), ("30s", .seconds(30)),
        ("250ms", .milliseconds(250)), ("1.5s", .milliseconds(1500)), ("1.5", .milliseconds(1500)),
        ("5m", .seconds(300)), ("2h", .seconds(7200)), ("1d", .seconds(86_400)), ("0.5d", .seconds(43_200)),
        ("0.000000001s", .nanoseconds(1)), ("0.0000000019s", .nanoseconds(1)),
        ("0.3333333333333333", .nanoseconds(333_333_333)),
        ("0.5ms", .microseconds(500)), ("3650d", .seconds(315_360_000)), ("007s", .seconds(7)),
    ])
    func aDurationIsRead(_ text: String, _ expected: Duration) {
        #expect(DurationText.parse(text) == expected)
    }

    @Test(arguments: [
        "", " ", "s", "ms", "-1s", "+1s", "1 s", " 1s", "1s ", "1S", "1M", "1us", "1w", "1h30m", "1e3", "1e3s", ".5s",
        "1.s",
        "1.", "1..5s", "1.5.5s", "nan", "inf", "0x10", "٣s", "1\u{0}s", "3651d", "3650.001d", "999999999999d",
        "9999999999999",
        "99999999999999999999999999999999999999999999999999s", "1s\n",
    ])
    func anythingElseIsRefused(_ text: String) {
        #expect(DurationText.parse(text) == nil)
    }

    @Test(arguments: [(0.0, Duration.zero), (30, .seconds(30)), (1.5, .milliseconds(1500)), (0.25, .milliseconds(250))])
    func aNumberIsSeconds(_ number: Double, _ expected: Duration) {
        #expect(DurationText.duration(seconds: number) == expected)
    }

    @Test(arguments: [-0.001, .nan, .infinity, -.infinity, 1e300, 315_360_001])
    func aNumberOutOfRangeIsRefused(_ number: Double) {
        #expect(DurationText.duration(seconds: number) == nil)
    }

    @Test(arguments: ["0s", "250ms", "1500ms", "90s", "5m", "2h", "36h", "1d", "3650d"])
    func aFormattedDurationIsReadBack(_ text: String) throws {
        let duration = try #require(DurationText.parse(text))
        #expect(DurationText.format(duration) == text)
    }

    @Test
    func theLargestUnitThatFitsIsShown() {
        #expect(DurationText.format(.seconds(86_400 * 7)) == "7d")
        #expect(DurationText.format(.milliseconds(60_000)) == "1m")
    }
}
