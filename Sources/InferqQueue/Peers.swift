package import InferqCore
import Synchronization

/// What this gateway knows of the others that share its Redis: workers on other hosts, and other gateways.
///
/// The side that speaks to Redis writes it, and HTTP reads it. Without a Redis it stays empty.
package final class Peers: Sendable {
    /// A worker on another host, as its last heartbeat told.
    package struct Worker: Sendable, Equatable {
        /// Its own id, new at each of its starts.
        package let id: String
        package let name: String
        package let host: String
        /// Slots by model.
        package let slots: [String: Int]
        /// Its model servers that take no calls, by model.
        package let away: [String: Availability.Summary]
        /// Jobs that it holds for this gateway.
        package let jobs: [UUIDv7]

        package init(
            id: String, name: String, host: String, slots: [String: Int], away: [String: Availability.Summary] = [:],
            jobs: [UUIDv7]
        ) {
            self.id = id
            self.name = name
            self.host = host
            self.slots = slots
            self.away = away
            self.jobs = jobs
        }
    }

    /// What was found in Redis and not understood: the label `what` of `inferq_redis_refused_total`.
    package enum ForeignData: String, Sendable, CaseIterable {
        /// Of a worker or another gateway.
        case heartbeat
        /// A message of a worker.
        case message = "word"
        /// An entry of a stream of jobs.
        case offer
        /// A key of another type.
        case key
    }

    private struct State {
        var workers: [Worker] = []
        /// URLs of other gateways that are alive, by the tag of their ids.
        var gateways: [UInt16: String] = [:]
        var outages = 0
        var eventsPublished = 0
        var eventsSkipped = 0
        var refused: [ForeignData: Int] = [:]
    }

    private let state = Mutex(State())

    package init() {}

    /// Workers that are alive, by name.
    package var workers: [Worker] {
        get { state.withLock { $0.workers } }
        set {
            let sorted = newValue.sorted { ($0.name, $0.id) < ($1.name, $1.id) }
            state.withLock { $0.workers = sorted }
        }
    }

    package func setGateways(_ gateways: [UInt16: String]) {
        state.withLock { $0.gateways = gateways }
    }

    /// Where the job of an id lies, if that is at another gateway that is alive.
    package func owner(of id: UUIDv7) -> String? {
        state.withLock { $0.gateways[id.tag] }
    }

    // MARK: Figures for operators

    package struct Figures: Sendable {
        /// How often Redis went away since the start.
        package var outages: Int
        package var eventsPublished: Int
        /// Events that were not published, since Redis was away or too slow.
        package var eventsSkipped: Int
        /// What was found in Redis and not understood.
        package var refused: [ForeignData: Int]
    }

    package var figures: Figures {
        state.withLock {
            Figures(
                outages: $0.outages, eventsPublished: $0.eventsPublished, eventsSkipped: $0.eventsSkipped,
                refused: $0.refused
            )
        }
    }

    package func countOutage() {
        state.withLock { $0.outages += 1 }
    }

    package func count(refused what: ForeignData) {
        state.withLock { $0.refused[what, default: 0] += 1 }
    }

    package func count(published: Int, skipped: Int) {
        state.withLock { state in
            state.eventsPublished += published
            state.eventsSkipped += skipped
        }
    }
}
