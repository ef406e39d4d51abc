import HTTPTypes
import InferqCore
import Testing

@testable import InferqHTTP

/// Addresses, buckets, and texts that are signed.
struct AccessTableTests {
    private let rate = Rate(count: 3, window: .seconds(60))
    private let start = ContinuousClock.now

    // MARK: Failures

    @Test func anAddressIsPausedPastTheLimitAndNotForever() {
        let table = FailureTable()
        for _ in 0..<3 { #expect(table.add("10.0.0.1", rate, now: start).pause == nil) }
        #expect(table.add("10.0.0.1", rate, now: start + .seconds(20)).pause == .seconds(40))
        #expect(table.add("10.0.0.2", rate, now: start + .seconds(20)).pause == nil)
        #expect(table.add("10.0.0.1", rate, now: start + .seconds(60)).pause == nil)
    }

    @Test func oneLineAMinuteTellsOfAnAddress() {
        let table = FailureTable()
        let told = (0..<130).map { table.add("10.0.0.1", rate, now: start + .seconds($0)).isToBeTold }
        #expect(told.indices.filter { told[$0] } == [0, 60, 120])
    }

    @Test func theTableDoesNotGrow() {
        let table = FailureTable(limit: 16)
        for number in 0..<1000 { _ = table.add("10.0.\(number / 256).\(number % 256)", rate, now: start) }
        for _ in 0..<3 { _ = table.add("10.9.9.9", rate, now: start) }
        #expect(table.add("10.9.9.9", rate, now: start).pause != nil, "the newest are not forgotten")
    }

    @Test(arguments: [
        ("10.0.0.1", "10.0.0.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.1", "10.0.0.1"), ("", ""), ("no address", "no address"),
    ])
    func anAddressOfIPv6StandsForItsNetwork(_ address: String, _ network: String) {
        #expect(FailureTable.network(of: address) == network)
    }

    // MARK: Rates

    @Test func aBucketFillsSteadily() {
        let rates = RequestRates()
        for _ in 0..<3 { #expect(rates.take("a", rate, now: start) == nil) }
        #expect(rates.take("a", rate, now: start) == .seconds(20))
        #expect(rates.take("b", rate, now: start) == nil)
        #expect(rates.take("a", rate, now: start + .seconds(21)) == nil)
        #expect(rates.take("a", rate, now: start + .seconds(21)) != nil)
        #expect(rates.left(of: "a", now: start + .seconds(1000)) == 3)
    }

    @Test func anotherRateIsANewBucket() {
        let rates = RequestRates()
        for _ in 0..<3 { _ = rates.take("a", rate, now: start) }
        let other = Rate(count: 5, window: .seconds(1))
        #expect(rates.take("a", other, now: start) == nil)
        #expect(rates.left(of: "a", now: start) == 4)
    }

    // MARK: Signed texts

    private let key = SigningKey(Array(repeating: UInt8(7), count: 32))

    @Test(arguments: ["9f3c21aa", "~local", "~plant.2"])
    func aSignedTextIsReadBack(_ maker: String) {
        let signed = SignedText(maker: maker, expires: Timestamp(milliseconds: 1_800_000_000_123), subject: "s-1")
        let text = signed.text(.ticket, key)
        #expect(SignedText(text, .ticket, key) == signed)
        #expect(SignedText(text, .session, key) == nil)
        #expect(SignedText(text, .ticket, SigningKey(Array(repeating: 8, count: 32))) == nil)
        #expect(text.utf8.allSatisfy { "-._~".utf8.contains($0) || (48...57).contains($0) || (65...122).contains($0) })
    }

    @Test func theSaltOfTheMakerGoesIntoTheSignature() {
        let signed = SignedText(maker: "9f3c21aa", expires: Timestamp(milliseconds: 1_800_000_000_123), subject: "s-1")
        let text = signed.text(.session, key, salt: "digest")
        #expect(SignedText(text, .session, key, salt: { $0 == "9f3c21aa" ? "digest" : "" }) == signed)
        #expect(SignedText(text, .session, key, salt: { _ in "another" }) == nil)
        #expect(SignedText(text, .session, key) == nil)
    }

    @Test func noOtherTextIsRead() {
        let text = SignedText(maker: "9f3c21aa", expires: .now, subject: "x").text(.ticket, key)
        for index in text.utf8.indices {
            var other = Array(text.utf8)
            other[text.utf8.distance(from: text.utf8.startIndex, to: index)] ^= 1
            #expect(SignedText(String(decoding: other, as: UTF8.self), .ticket, key) == nil)
        }
        for text in ["", ".", "...", "a.b.c", String(repeating: "a.", count: 1000)] {
            #expect(SignedText(text, .ticket, key) == nil)
        }
    }
}
