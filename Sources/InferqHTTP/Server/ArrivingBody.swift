import NIOCore

/// A request's body that is on its way: how much has come, and whether that is fast enough.
struct ArrivingBody {
    /// When the head had come.
    let since: NIODeadline
    /// The request offers to change the protocol, so the decoder stops at its end.
    let offersUpgrade: Bool
    /// The client waits for "100 Continue" before it sends the body.
    private(set) var awaitsInvitation: Bool
    private var byteCount = 0
    /// As they came, with all that frames them; those that came with the head are left out.
    private var arrivedByteCount = 0

    init(since: NIODeadline, offersUpgrade: Bool, awaitsInvitation: Bool) {
        self.since = since
        self.offersUpgrade = offersUpgrade
        self.awaitsInvitation = awaitsInvitation
    }

    mutating func arrived(byteCount: Int) {
        arrivedByteCount += byteCount
    }

    mutating func decoded(byteCount: Int) {
        self.byteCount += byteCount
    }

    mutating func invited() {
        awaitsInvitation = false
    }

    /// Whether so much has come beside the body (extensions of chunks, trailers, which no other limit sees) that it is an
    /// attack. Chunks of one byte have five bytes beside each.
    var isFlooded: Bool {
        arrivedByteCount - byteCount > (256 << 10) + 16 * byteCount
    }

    private static let freeSeconds = 10

    /// When its pace first counts.
    var judged: NIODeadline { since + .seconds(Int64(Self.freeSeconds) + 1) }

    /// Ten seconds are free; past them every second must have brought its share.
    ///
    /// - Parameter minRate: bytes per second.
    func isSlow(now: NIODeadline, minRate: Int) -> Bool {
        let seconds = Int((now - since).nanoseconds / 1_000_000_000)
        return seconds > Self.freeSeconds && byteCount < (seconds - Self.freeSeconds) * minRate
    }
}
