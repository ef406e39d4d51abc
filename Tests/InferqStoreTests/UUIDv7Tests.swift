import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

struct UUIDv7Tests {
    private let now = Job.submitted

    @Test
    func everyIdentifierIsOfVersionSevenAndItsVariant() {
        let ids = IDGenerator(after: nil, tag: 7)
        for _ in 0..<1000 {
            let made = ids.next { .at(now) }
            for text in ["\(made.id)", "\(made.eventID)"].map(Array.init) {
                #expect(text[14] == "7")
                #expect("89ab".contains(text[19]))
            }
        }
    }

    @Test
    func anIdentifierBeginsWithItsTime() {
        let id = IDGenerator(after: nil, tag: 7).next { .at(Timestamp(milliseconds: 0x0123_4567_89AB)) }.id
        #expect("\(id)".hasPrefix("01234567-89ab-7000-"))
    }

    @Test
    func identifiersGrow() {
        let ids = IDGenerator(after: nil, tag: 7)
        // More than there are in one millisecond.
        let made = (0..<10_000).map { _ in ids.next { .at(now) }.id }
        #expect(made.map(\.key) == made.map(\.key).sorted())
        #expect(Set(made.map(\.key)).count == made.count)
        #expect(made.map(\.description) == made.map(\.description).sorted())
    }

    @Test
    func identifiersGrowWhenTheClockGoesBack() {
        let ids = IDGenerator(after: nil, tag: 7)
        let first = ids.next { .at(now) }.id.key
        let second = ids.next { .at(Timestamp(milliseconds: 0)) }.id.key
        #expect(second > first)
    }

    @Test
    func identifiersFollowTheLastOneOfTheStore() {
        let last = JobKey.first(at: now + .seconds(60))
        #expect(IDGenerator(after: last, tag: 7).next { .at(now) }.id.key > last)
    }

    @Test
    func bothIdentifiersOfAJobFindItsRowAndDiffer() {
        let made = IDGenerator(after: nil, tag: 7).next { .at(now) }
        #expect(made.id.key == made.eventID.key)
        #expect(made.id != made.eventID)
    }

    @Test
    func aKeySurvivesTheIdentifier() {
        var random = SplitMix64(seed: 7)
        for _ in 0..<10_000 {
            let key = JobKey(value: .random(in: 0..<(1 << 60), using: &random))
            #expect(UUIDv7(key: key, tag: 7, random: random.next()).key == key)
        }
    }

    @Test
    func aKeyKnowsItsMillisecond() {
        #expect(IDGenerator(after: nil, tag: 7).next { .at(now) }.id.key.time == now)
    }

    @Test
    func textIsReadBack() {
        var random = SplitMix64(seed: 8)
        for _ in 0..<1000 {
            let id = UUIDv7(high: random.next(), low: random.next())
            #expect(UUIDv7("\(id)") == id)
            #expect(UUIDv7("\(id)".uppercased()) == id)
        }
    }

    @Test(arguments: [
        "", "0190a5b2-3c4d-7e5f-8a6b-7c8d9e0f1a2", "0190a5b2-3c4d-7e5f-8a6b-7c8d9e0f1a2b3",
        "0190a5b23c4d-7e5f-8a6b-7c8d9e0f1a2b-", "0190a5b2-3c4d-7e5f-8a6b-7c8d9e0f1a2g",
        "{190a5b2-3c4d-7e5f-8a6b-7c8d9e0f1a2}", " 190a5b2-3c4d-7e5f-8a6b-7c8d9e0f1a2b",
        "0190a5b2+3c4d-7e5f-8a6b-7c8d9e0f1a2b",
    ])
    func anythingElseIsRefused(_ text: String) {
        #expect(UUIDv7(text) == nil)
    }
}
