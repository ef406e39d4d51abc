import Foundation

/// Seeded mutations of bytes: every failure can be repeated from the seed that it names.
package struct Mutation {
    package typealias Numbers = SplitMix64

    /// What a mutation puts in.
    package let pieces: [[UInt8]]

    package init(pieces: [[UInt8]]) {
        self.pieces = pieces
    }

    /// Changes one place: removes, repeats, replaces or inserts some bytes, or flips a bit.
    package func mutate(_ bytes: inout [UInt8], _ numbers: inout Numbers) {
        let start = Int.random(in: 0...bytes.count, using: &numbers)
        let end = min(bytes.count, start + Int.random(in: 0...8, using: &numbers))
        let piece = pieces[Int.random(in: 0..<pieces.count, using: &numbers)]
        switch Int.random(in: 0..<6, using: &numbers) {
        case 0: bytes.removeSubrange(start..<end)
        case 1: bytes.insert(contentsOf: piece, at: start)
        case 2: bytes.replaceSubrange(start..<end, with: piece)
        case 3: bytes.insert(contentsOf: bytes[start..<end], at: Int.random(in: 0...bytes.count, using: &numbers))
        case 4: if start < bytes.count { bytes[start] ^= 1 << UInt8.random(in: 0...7, using: &numbers) }
        default: if start < bytes.count { bytes[start] = UInt8.random(in: 0...255, using: &numbers) }
        }
    }
}

/// For how long what is random goes on: `share` of INFERQ_FUZZ_SECONDS, which is 60 unless it is set.
package struct FuzzTime {
    private let end: ContinuousClock.Instant
    /// Differs from run to run, or is INFERQ_FUZZ_SEED.
    package let seed: UInt64

    package init(share: Double) {
        let environment = ProcessInfo.processInfo.environment
        let seconds = environment["INFERQ_FUZZ_SECONDS"].flatMap(Double.init) ?? 60
        end = .now + .seconds(seconds * share)
        seed = environment["INFERQ_FUZZ_SEED"].flatMap(UInt64.init) ?? .random(in: 0...UInt64.max)
    }

    package var isOver: Bool { .now >= end }
}
