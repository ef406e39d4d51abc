import InferqQueue

/// What was offered through Redis and not taken yet, and how much of it Redis has room for.
///
/// The room is learned: a Redis that is full halves it, and what lies there past it is taken back; each good while adds
/// one. It outlives a session, since the Redis of the next one is as small.
struct OfferBook: Sendable {
    /// With the entry once Redis has named it.
    private var entries: [Offer: String?] = [:]
    private var counts: [String: Int] = [:]
    private let capacity: Int
    /// Offers of all models that may be in Redis; nil: as many as there are.
    private(set) var room: Int?
    private var goodSince = 0
    /// Those that were on their way when the room was halved: what was sent together is refused together, and counts once.
    private var underway: Set<Offer> = []

    /// Offers that must find room before one more is tried: the next refusal costs little, and a Redis that has been
    /// given more memory is used within a few hundred jobs.
    private static let growth = 16

    /// - Parameter capacity: offers of one model.
    init(capacity: Int) {
        self.capacity = capacity
    }

    var models: [String] { counts.filter { $0.value > 0 }.map(\.key) }

    func has(_ offer: Offer) -> Bool { entries[offer] != nil }

    /// The entry of an offer that is outstanding, once it has one.
    func entry(of offer: Offer) -> String?? { entries[offer] }

    /// Whether one more offer may go out; one of each model always may.
    func admits(_ model: String) -> Bool {
        let count = counts[model, default: 0]
        guard count < capacity else { return false }
        return count == 0 || room.map { entries.count < $0 } ?? true
    }

    mutating func add(_ offer: Offer) {
        guard entries.updateValue(nil, forKey: offer) == nil else { return }
        counts[offer.model, default: 0] += 1
    }

    /// Redis has taken it.
    ///
    /// - Returns: false when it is no longer wanted.
    mutating func name(_ offer: Offer, _ entry: String) -> Bool {
        underway.remove(offer)
        if let known = room {
            goodSince += 1
            if goodSince >= Self.growth {
                goodSince = 0
                room = known < capacity ? known + 1 : nil
            }
        }
        guard entries[offer] != nil else { return false }
        entries.updateValue(entry, forKey: offer)
        return true
    }

    /// - Returns: nil when it was not outstanding; else the entry, if it has one.
    @discardableResult
    mutating func remove(_ offer: Offer) -> String?? {
        guard let entry = entries.removeValue(forKey: offer) else { return nil }
        counts[offer.model, default: 1] -= 1
        return .some(entry)
    }

    /// Offers of a model that are in Redis, with their entries.
    func named(of model: String? = nil) -> [Offer: String] {
        entries.filter { model == nil || $0.key.model == model }.compactMapValues { $0 }
    }

    /// Redis had no room for this offer, which is outstanding no longer.
    ///
    /// - Returns: those that are to be taken back, and are outstanding no longer; nil when nothing of ours fills it.
    mutating func refused(_ offer: Offer) -> [(offer: Offer, entry: String)]? {
        remove(offer)
        return underway.remove(offer) == nil ? shrink() : []
    }

    /// Redis had no room for something else.
    ///
    /// - Returns: as ``refused(_:)``.
    mutating func makeRoom() -> [(offer: Offer, entry: String)]? {
        shrink()
    }

    private mutating func shrink() -> [(offer: Offer, entry: String)]? {
        underway = Set(entries.filter { $0.value == nil }.keys)
        // The newest first: they are taken last.
        let newest = named().map { (offer: $0.key, entry: $0.value) }
            .sorted { (StreamID($0.entry) ?? .zero) > (StreamID($1.entry) ?? .zero) }
        guard !newest.isEmpty else { return nil }
        room = max(1, newest.count / 2)
        goodSince = 0
        let back = Array(newest.prefix((newest.count + 1) / 2))
        for (offer, _) in back { remove(offer) }
        return back
    }

    /// Redis was away, or was emptied: nothing is outstanding.
    mutating func forgetAll() {
        entries = [:]
        counts = [:]
        underway = []
    }
}
