import Logging
import ServiceLifecycle
import Synchronization

/// Decides which job goes to the broker next: per model by priority, then age, at most the free slots plus one.
///
/// The queue itself is the store's index. In memory there is, per model, a window of the best candidates; what is
/// worse than the window's end is read again when the window has run empty. A candidate is a hint: the claim decides.
package final class Scheduler: Service {
    /// Reads the best due jobs of a model from the store.
    typealias Read = @Sendable (_ model: String, _ limit: Int) async throws -> [Candidate]

    /// The one suspect that is offered or runs, as far as this process knows: see ``Job/isSuspect``. Whether it really
    /// was alone, its rows tell; this makes sure that it soon is.
    private struct Suspect {
        let offer: Offer
        /// Who has taken it: of an offer that was made twice, the one that came too late as well, for a moment.
        var takers = 0
    }

    private struct State {
        var lines: [String: Line] = [:]
        var suspect: Suspect?

        mutating func take(_ offer: Offer) {
            lines[offer.model, default: Line()].offered.remove(offer.job)
            if suspect?.offer == offer { suspect?.takers += 1 }
        }

        /// - Returns: the models that may have something to offer now.
        mutating func release(_ offer: Offer, wasTaken: Bool) -> [String] {
            guard var known = suspect, known.offer == offer else { return [offer.model] }
            if wasTaken {
                // An attempt from before it was offered, as one that a start found at work elsewhere.
                guard known.takers > 0 else { return [offer.model] }
                known.takers -= 1
            }
            suspect = known.takers > 0 ? known : nil
            return suspect == nil ? Array(lines.keys) : [offer.model]
        }
    }

    private let state = Mutex(State())
    private let broker: any Broker
    private let read: Read
    private let reads = Bell()
    private let logger = Logger(label: "inferq")
    private let throttle = LogThrottle()

    /// Candidates kept in memory per model.
    static let windowLimit = 256
    /// After a read that failed: soon enough for a store that is well again, and seldom enough for one that is not.
    private static let pauseAfterFailure = Duration.milliseconds(250)

    init(broker: any Broker, read: @escaping Read) {
        self.broker = broker
        self.read = read
    }

    // MARK: What happens

    /// Sets the models that are served, with the slots that this process has for each. One that is not named gets no
    /// more offers.
    func configure(_ concurrency: [String: Int]) {
        state.withLock { state in
            for model in state.lines.keys where concurrency[model] == nil {
                state.lines[model]?.concurrency = 0
                state.lines[model]?.slotsElsewhere = 0
            }
            for (model, slots) in concurrency { state.lines[model, default: Line()].concurrency = slots }
            for model in concurrency.keys { pump(model, &state) }
        }
    }

    func setPaused(_ isPaused: Bool, _ model: String) {
        state.withLock { state in
            state.lines[model, default: Line()].isPaused = isPaused
            // What was offered before the pause was given up when a worker took it.
            if !isPaused { state.lines[model]?.forget() }
            pump(model, &state)
        }
    }

    func isPaused(_ model: String) -> Bool {
        state.withLock { $0.lines[model]?.isPaused ?? false }
    }

    /// Jobs of a model have become due. Called after the commit that made them so.
    func becameDue(_ candidates: [Candidate], of model: String) {
        state.withLock { state in
            for candidate in candidates { state.lines[model]?.insert(candidate) }
            pump(model, &state)
        }
    }

    /// A worker has taken an offer: it holds a slot until ``ended(_:)``.
    func taken(_ offer: Offer) {
        state.withLock { state in
            state.take(offer)
            state.lines[offer.model]?.running += 1
        }
    }

    /// The slot is free again, whatever became of the job.
    func ended(_ offer: Offer) {
        state.withLock { state in
            state.lines[offer.model]?.running -= 1
            for model in state.release(offer, wasTaken: true) { pump(model, &state) }
        }
    }

    /// Attempts of a model that may run at a time, at workers on other hosts too.
    func slots(of model: String) -> Int {
        state.withLock { $0.lines[model].map { $0.concurrency + $0.slotsElsewhere } ?? 0 }
    }

    /// Attempts of a model that run in this process at this moment.
    func running(_ model: String) -> Int {
        state.withLock { $0.lines[model]?.running ?? 0 }
    }

    /// Nobody will take this offer any more: its job has ended.
    package func withdrawn(_ offer: Offer) {
        state.withLock { state in
            state.lines[offer.model]?.offered.remove(offer.job)
            for model in state.release(offer, wasTaken: false) { pump(model, &state) }
        }
    }

    /// Looks again at one model, after an error.
    func askAgain(_ model: String) {
        state.withLock { state in
            state.lines[model]?.forget()
            pump(model, &state)
        }
    }

    /// Looks again at all models, now and then: whatever went wrong, no due job waits beside a free slot for long.
    ///
    /// - Parameter hasDue: whether a model has due jobs, as far as is counted.
    func askAgain(where hasDue: (_ model: String) -> Bool) {
        state.withLock { state in
            for (name, line) in state.lines {
                if line.offered.isEmpty, line.free > 0, hasDue(name) { state.lines[name]?.forget() }
                pump(name, &state)
            }
        }
    }

    // MARK: Other hosts

    /// Sets how many slots workers on other hosts have for each model; a model that is not named has none there.
    package func setSlotsElsewhere(_ slots: [String: Int]) {
        state.withLock { state in
            for (model, line) in state.lines where line.slotsElsewhere != slots[model, default: 0] {
                state.lines[model]?.slotsElsewhere = slots[model, default: 0]
                pump(model, &state)
            }
        }
    }

    /// A worker on another host has taken an offer: it holds a slot there until ``endedElsewhere(_:)``.
    func takenElsewhere(_ offer: Offer) {
        state.withLock { state in
            state.take(offer)
            state.lines[offer.model]?.runningElsewhere += 1
        }
    }

    func endedElsewhere(_ offer: Offer) {
        state.withLock { state in
            state.lines[offer.model]?.runningElsewhere -= 1
            for model in state.release(offer, wasTaken: true) { pump(model, &state) }
        }
    }

    /// What was offered may have been lost on its way: it is offered again.
    package func offerAgain(_ offers: [Offer]) {
        state.withLock { state in
            for offer in offers where state.lines[offer.model]?.offered.remove(offer.job) != nil {
                if state.suspect?.offer == offer { state.suspect = nil }
                state.lines[offer.model]?.forget()
            }
            for model in Set(offers.map(\.model)) { pump(model, &state) }
        }
    }

    /// As ``offerAgain(_:)``, for all that nobody has taken.
    package func offerAllAgain() {
        state.withLock { state in
            if state.suspect?.takers == 0 { state.suspect = nil }
            for model in state.lines.keys {
                state.lines[model]?.offered = []
                state.lines[model]?.forget()
            }
            for model in state.lines.keys { pump(model, &state) }
        }
    }

    // MARK: Offering

    private func pump(_ model: String, _ state: inout State) {
        guard var line = state.lines[model], line.isServed else { return }
        defer { state.lines[model] = line }
        while line.offered.count <= line.free {
            if state.suspect?.offer.model == model { return }
            if line.mustRead { reads.ring(.event) }
            guard let best = line.best(skippingSuspects: state.suspect != nil) else { return }
            // A suspect waits until nothing else of its model runs, and nothing passes it meanwhile.
            if best.isSuspect, line.running > 0 || !line.offered.isEmpty { return }
            let offer = Offer(model: model, job: best.key)
            guard broker.offer(offer) else { return }
            line.remove(best)
            line.offered.insert(best.key)
            if best.isSuspect { state.suspect = Suspect(offer: offer) }
        }
    }

    // MARK: Reading

    /// Fills windows that have run empty. Ends on graceful shutdown.
    package func run() async throws {
        await withTaskCancellationOrGracefulShutdownHandler {
            while !Task.isShuttingDownGracefully, !Task.isCancelled {
                _ = await reads.wait()
                if await !fillWindows() { await pause() }
            }
        } onCancelOrGracefulShutdown: {
            self.reads.ring(.stop)
        }
    }

    /// - Returns: false when a read failed; it is asked for again.
    private func fillWindows() async -> Bool {
        let models = state.withLock { state -> [(String, Int)] in
            state.lines.filter { $0.value.mustRead }.map { model, line in
                state.lines[model]?.isReading = true
                return (model, Self.windowLimit + line.offered.count)
            }
        }
        var isWell = true
        for (model, limit) in models {
            var candidates: [Candidate]?
            do {
                candidates = try await read(model, limit)
            } catch {
                isWell = false
                throttle.log(
                    logger, .error, "waiting jobs could not be looked at", of: model,
                    metadata: ["model": "\(model)", "error": "\(error)"]
                )
            }
            state.withLock { state in
                state.lines[model]?.fill(candidates, isAll: (candidates?.count ?? 0) < limit)
                pump(model, &state)
            }
        }
        return isWell
    }

    private func pause() async {
        do {
            try await cancelWhenGracefulShutdown { try await Task.sleep(for: Self.pauseAfterFailure) }
        } catch {
            // The service ends.
        }
    }
}

/// A due job as the scheduler sees it. The better one is the smaller.
struct Candidate: Sendable, Hashable, Comparable {
    let key: JobKey
    let priority: Int
    let isSuspect: Bool

    static func < (left: Candidate, right: Candidate) -> Bool {
        left.priority == right.priority ? left.key < right.key : left.priority > right.priority
    }
}

extension Job {
    var candidate: Candidate {
        Candidate(key: key, priority: options.priority, isSuspect: isSuspect)
    }
}
