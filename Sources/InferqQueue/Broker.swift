package import InferqCore

/// What carries jobs out to workers. It may lose, double or delay what it carries: the store makes it good.
package protocol Broker: Sendable {
    var state: BrokerState { get }

    /// Tells the broker whose jobs it carries: once, before the first offer.
    ///
    /// - Parameters:
    ///   - room: how many more jobs of a model this process may take at this moment.
    ///   - onLoss: called with what was offered and will not be taken. Neither closure is called from within another
    ///     function of the broker: its caller may hold a lock that they need.
    func start(room: @escaping @Sendable (_ model: String) -> Int, onLoss: @escaping @Sendable (BrokerLoss) -> Void)

    /// Puts a job up for the next free worker of its model.
    ///
    /// - Returns: false when there is no room; the scheduler offers it again later.
    func offer(_ offer: Offer) -> Bool

    /// Waits for the next job of a model, in the order of the offers; each offer is taken once.
    ///
    /// - Returns: nil once the broker is closed, or when the waiting task is cancelled.
    func take(_ model: String) async -> Offer?

    /// Takes back what was offered and is no longer wanted.
    ///
    /// - Returns: false when it was taken already, or never offered here.
    func withdraw(_ offer: Offer) -> Bool

    /// Ends all waiting takes; what was offered and not taken stays due in the store.
    func close()
}

/// Offers that a broker no longer carries, though no one has taken them.
package enum BrokerLoss: Sendable, Equatable {
    /// All may be lost, or there is a better way for them now.
    case all
    case offers([Offer])
    /// Its job is no longer due.
    case unwanted(Offer)
}

/// A job that waits for a worker. No state of the job: only the gateway's memory of having asked.
package struct Offer: Sendable, Hashable {
    package let model: String
    package let job: JobKey

    package init(model: String, job: JobKey) {
        self.model = model
        self.job = job
    }
}
