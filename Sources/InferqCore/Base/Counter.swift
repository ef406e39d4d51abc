import Synchronization

/// A number that any thread moves: one atomic, so that counting takes no lock and allocates nothing.
package final class Counter: Sendable {
    private let number = Atomic<Int>(0)

    package init() {}

    package func add(_ amount: Int = 1) {
        number.wrappingAdd(amount, ordering: .relaxed)
    }

    package var value: Int { number.load(ordering: .relaxed) }
}

/// How often values fell under each of a few bounds. To observe one costs two atomic additions.
package final class Histogram: Sendable {
    /// What it has seen at one moment.
    package struct Reading: Sendable, Equatable {
        /// Values up to each bound, the lower ones included; the last one stands for all.
        package var counts: [Int]
        /// Of all values, in the unit in which they were observed.
        package var sum: Int

        package var count: Int { counts.last ?? 0 }
    }

    /// Upper bounds, each included, in ascending order.
    package let bounds: [Int]
    /// How many of the observed units make one of the unit that is shown.
    package let unitsPerOne: Int
    private let buckets: [Counter]
    private let sum = Counter()

    package init(bounds: [Int], unitsPerOne: Int) {
        self.bounds = bounds
        self.unitsPerOne = unitsPerOne
        buckets = (0...bounds.count).map { _ in Counter() }
    }

    /// From 1 ms to an hour, observed in milliseconds and shown in seconds: what becomes of jobs.
    package static func ofJobs() -> Histogram {
        let bounds = [
            1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000,
            1_800_000, 3_600_000,
        ]
        return Histogram(bounds: bounds, unitsPerOne: 1000)
    }

    /// From 100 us to a minute, observed in microseconds and shown in seconds: what the gateway itself does.
    package static func ofSteps() -> Histogram {
        let bounds = [
            100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000,
            60_000_000,
        ]
        return Histogram(bounds: bounds, unitsPerOne: 1_000_000)
    }

    /// - Parameter value: less than 0, as when a clock was set back, counts as 0.
    package func observe(_ value: Int) {
        let value = max(value, 0)
        buckets[bounds.firstIndex { value <= $0 } ?? bounds.count].add()
        sum.add(value)
    }

    package var reading: Reading {
        var total = 0
        let counts = buckets.map { bucket in
            total += bucket.value
            return total
        }
        return Reading(counts: counts, sum: sum.value)
    }
}

extension Duration {
    /// Whole microseconds, rounded down.
    package var microseconds: Int {
        let (seconds, attoseconds) = components
        return Int(seconds) * 1_000_000 + Int(attoseconds / 1_000_000_000_000)
    }
}
