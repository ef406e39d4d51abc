/// How many jobs of a client may be pending.
package enum ClientBound: Sendable, Equatable {
    /// What its keys allow it, over all models.
    case own(Int)
    /// Its part of a model's queue: at most as many as there are free places. So one client alone gets half of the queue,
    /// and there is room for the others, no matter who floods it.
    case share(pending: Int, free: Int)
}
