import InferqCore
import TestSupport
import Testing

struct TimestampTests {
    @Test
    func everyMomentUpToTheYear9999IsReadBack() {
        var random = SplitMix64(seed: 9999)
        for _ in 0..<20_000 {
            let moment = Timestamp(milliseconds: .random(in: 0...Timestamp.latest.milliseconds, using: &random))
            #expect(Timestamp(rfc3339: moment.rfc3339) == moment)
        }
    }

    @Test
    func textSortsAsTimeDoes() {
        var random = SplitMix64(seed: 1)
        let moments = (0..<1000).map { _ in
            Timestamp(milliseconds: .random(in: 0...Timestamp.latest.milliseconds, using: &random))
        }
        #expect(moments.sorted().map(\.rfc3339) == moments.map(\.rfc3339).sorted())
    }

    @Test(arguments: [
        (Int64(0), "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"), (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ])
    func aMomentHasOneText(_ milliseconds: Int64, _ text: String) {
        #expect(Timestamp(milliseconds: milliseconds).rfc3339 == text)
    }

    @Test(arguments: [
        "2026-11-23T16:31:47Z", "2026-11-23t16:31:47z", "2026-11-23 16:31:47Z", "2026-11-23T16:31:47.000Z",
        "2026-11-23T18:31:47+02:00", "2026-11-23T11:01:47-05:30", "2026-11-24T01:31:47+09:00",
        "2026-11-23T16:31:47-00:00", "2026-11-23T16:31:47.0009Z", "2026-11-23T16:31:47.000999999999999999999Z",
    ])
    func everySpellingOfAMomentIsRead(_ text: String) {
        #expect(Timestamp(rfc3339: text) == Timestamp(milliseconds: 1_795_451_507_000))
    }

    @Test(arguments: [("1", 100), ("12", 120), ("123", 123), ("1239", 123), ("009", 9)])
    func aFractionIsCutToMilliseconds(_ fraction: String, _ milliseconds: Int64) {
        #expect(Timestamp(rfc3339: "1970-01-01T00:00:00.\(fraction)Z")?.milliseconds == milliseconds)
    }

    @Test(arguments: [
        "", "2026", "2026-11-23", "2026-11-23T16:31Z", "2026-11-23T16:31:47", "2026-11-23T16:31:47.Z",
        "2026-11-23T16:31:47,5Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-11-00T00:00:00Z", "2026-11-23T24:00:00Z",
        "2026-11-23T16:60:00Z", "2026-11-23T16:31:61Z", "2026-11-23T16:31:47+2:00", "2026-11-23T16:31:47+0200",
        "2026-11-23T16:31:47+24:00", "2026-11-23T16:31:47+02:60", "2026-11-23T16:31:47Z ", " 2026-11-23T16:31:47Z",
        "+026-11-23T16:31:47Z", "2026-11-23T16:31:47ZZ", "٢٠٢٦-11-23T16:31:47Z", "2026-11-23T16:31:47.5",
        "26-11-23T16:31:47Z", "1795451507", "now",
        // Past the years that RFC 3339 can write, by their offsets.
        "9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00+00:01",
    ])
    func anythingElseIsRefused(_ text: String) {
        #expect(Timestamp(rfc3339: text) == nil)
    }

    @Test
    func aSumStaysWithinWhatCanBeWritten() {
        #expect(Timestamp.latest + .milliseconds(1) == Timestamp.latest)
        #expect(Timestamp(milliseconds: .max) + .seconds(Int64.max) == Timestamp.latest)
    }

    @Test(
        arguments: [
            (Duration.milliseconds(1500), 1500), (.nanoseconds(999_999), 0), (.nanoseconds(-1_500_000), -1),
            (.seconds(Int64.max), .max), (.seconds(Int64.min), .min),
        ] as [(Duration, Int64)])
    func aDurationHasWholeMilliseconds(_ duration: Duration, _ milliseconds: Int64) {
        #expect(duration.milliseconds == milliseconds)
    }

    @Test
    func theClockRuns() {
        let first = Timestamp.now
        #expect(first > Timestamp(milliseconds: 1_700_000_000_000))
        #expect(Timestamp.now >= first)
    }
}
