import Glibc
import InferqCore
import Synchronization

/// Wrong keys by address: how many there were lately, in a table that does not grow.
///
/// An address of IPv6 stands for its /64, which one host has to itself.
final class FailureTable: Sendable {
    private struct Entry {
        var begin: ContinuousClock.Instant
        var count = 0
        /// When the log last told of this address.
        var told: ContinuousClock.Instant?
    }

    /// What became of one more wrong key.
    struct Verdict: Sendable, Equatable {
        /// Until the address is answered as others are; nil: it is not past the limit.
        var pause: Duration?
        /// Whether the log has said nothing of this address for a minute.
        var isToBeTold: Bool
    }

    private let entries = Mutex<[String: Entry]>([:])
    private let limit: Int

    /// Between two lines of the log about one address.
    private static let silence = Duration.seconds(60)

    /// - Parameter limit: addresses that are remembered; past it the one whose window began first is forgotten.
    init(limit: Int = 4096) {
        self.limit = limit
    }

    func add(_ address: String?, _ rate: Rate, now: ContinuousClock.Instant = .now) -> Verdict {
        let network = Self.network(of: address ?? "")
        return entries.withLock { entries in
            if entries[network] == nil, entries.count >= limit { Self.makeRoom(in: &entries, rate, now) }
            var entry = entries[network] ?? Entry(begin: now)
            defer { entries[network] = entry }
            if now - entry.begin >= rate.window {
                entry.begin = now
                entry.count = 0
            }
            entry.count += 1
            let isToBeTold = entry.told.map { now - $0 >= Self.silence } ?? true
            if isToBeTold { entry.told = now }
            return Verdict(
                pause: entry.count > rate.count ? rate.window - (now - entry.begin) : nil, isToBeTold: isToBeTold)
        }
    }

    /// The windows that are over go, or an eighth of all, the oldest: so the search is rare.
    private static func makeRoom(in entries: inout [String: Entry], _ rate: Rate, _ now: ContinuousClock.Instant) {
        let count = entries.count
        entries = entries.filter { now - $0.value.begin < max(rate.window, silence) }
        guard entries.count == count else { return }
        for (network, _) in entries.sorted(by: { $0.value.begin < $1.value.begin }).prefix(max(1, count / 8)) {
            entries[network] = nil
        }
    }

    /// The address itself, or the first 64 bits of one of IPv6. One of IPv4 that is written in IPv6 is that of IPv4.
    static func network(of address: String) -> String {
        var parsed = in6_addr()
        guard inet_pton(AF_INET6, address, &parsed) == 1 else { return address }
        let bytes = withUnsafeBytes(of: &parsed) { Array($0) }
        if bytes.prefix(10).allSatisfy({ $0 == 0 }), bytes[10] == 0xFF, bytes[11] == 0xFF {
            return bytes.suffix(4).map { String($0) }.joined(separator: ".")
        }
        let words = stride(from: 0, to: 8, by: 2).map { Int(bytes[$0]) << 8 | Int(bytes[$0 + 1]) }
        return words.map { String($0, radix: 16) }.joined(separator: ":") + "::/64"
    }
}
