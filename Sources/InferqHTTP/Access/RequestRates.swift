import InferqCore
import Synchronization

/// How many requests each client with a rate has left: a bucket that fills steadily.
final class RequestRates: Sendable {
    private struct Bucket {
        var rate: Rate
        var left: Double
        var filled: ContinuousClock.Instant
    }

    private let buckets = Mutex<[String: Bucket]>([:])

    /// Takes one request.
    ///
    /// - Returns: nil when it was there, else how long it is until there is one.
    func take(_ client: String, _ rate: Rate, now: ContinuousClock.Instant = .now) -> Duration? {
        buckets.withLock { buckets in
            var bucket = buckets[client] ?? Bucket(rate: rate, left: Double(rate.count), filled: now)
            defer { buckets[client] = bucket }
            if bucket.rate != rate { bucket = Bucket(rate: rate, left: Double(rate.count), filled: now) }
            let gained = max(0, (now - bucket.filled) / rate.window) * Double(rate.count)
            bucket.left = min(bucket.left + gained, Double(rate.count))
            bucket.filled = now
            guard bucket.left >= 1 else { return rate.window * ((1 - bucket.left) / Double(rate.count)) }
            bucket.left -= 1
            return nil
        }
    }

    /// Requests that the client may make at once; nil before its first one.
    func left(of client: String, now: ContinuousClock.Instant = .now) -> Int? {
        buckets.withLock { buckets in
            buckets[client].map { bucket in
                let gained = max(0, (now - bucket.filled) / bucket.rate.window) * Double(bucket.rate.count)
                return Int(min(bucket.left + gained, Double(bucket.rate.count)))
            }
        }
    }
}
