import InferqCore
import InferqQueue
import InferqStore
import Logging
import ServiceLifecycle
import Synchronization

/// The clients of plain calls: whose repeat is whose, and what becomes of a job whose client has gone.
package final class Callers: Service {
    private let queue: JobQueue
    private let wheel: TimerWheel
    private let settings: Live<HTTPSettings>
    private let logger: Logger
    let metrics = CallMetrics()
    let recent = RecentCalls()
    let responseServers = ResponseServers()
    /// Before the first call of this process.
    private let start: Moment
    private let (departures, departure) = AsyncStream.makeStream(of: Departure.self)

    /// A client that is gone, at the moment at which its job is to be looked at.
    private struct Departure: Sendable {
        let job: UUIDv7
        let linger: Duration
        /// When somebody was last known to wait for the job.
        let since: ContinuousClock.Instant
    }

    /// The newest departure from each job that is to be looked at: of several, the last one counts.
    private let newest = Mutex<[UUIDv7: ContinuousClock.Instant]>([:])

    /// Between two looks at whether those who still listen have left.
    private static let look = Duration.seconds(1)

    /// Open calls that are looked at after a start, older ones run to their end; and jobs that have ended. As many as
    /// ``RecentCalls`` remembers.
    private static let limit = 10_000

    init(queue: JobQueue, wheel: TimerWheel, settings: Live<HTTPSettings>, logger: Logger) {
        self.queue = queue
        start = queue.store.clock.now
        self.settings = settings
        self.wheel = wheel
        self.logger = logger
    }

    // MARK: Lingering

    /// Someone who asked for this job has left: it is cancelled once no one has listened for `linger`.
    func linger(_ job: UUIDv7, for linger: Duration) {
        let departure = Departure(job: job, linger: linger, since: .now)
        newest.withLock { $0[job] = departure.since }
        look(at: departure, after: linger)
    }

    private func look(at departure: Departure, after pause: Duration) {
        _ = wheel.call(after: pause) { [departures = self.departure] in departures.yield(departure) }
    }

    /// Whether no one has waited for the job for long enough; if not, it is looked at again in time.
    private func isOver(_ departure: Departure) -> Bool {
        let now = ContinuousClock.now
        let isHeard = queue.hub.isHeard(departure.job.key)
        let again = newest.withLock { newest -> (departure: Departure, pause: Duration)? in
            // One that came later is looked at in its own time.
            guard newest[departure.job] == departure.since else { return (departure, .zero) }
            guard isHeard else {
                let rest = departure.linger - (now - departure.since)
                if rest > .zero { return (departure, rest) }
                newest[departure.job] = nil
                return nil
            }
            // Somebody listens, or has taken the call up, and may leave silently.
            newest[departure.job] = now
            return (Departure(job: departure.job, linger: departure.linger, since: now), Self.look)
        }
        guard let again else { return true }
        if again.pause > .zero { look(at: again.departure, after: again.pause) }
        return false
    }

    /// Ends on graceful shutdown: jobs whose clients have gone run on then, and after the next start.
    package func run() async throws {
        await takeOver()
        await withTaskCancellationOrGracefulShutdownHandler {
            for await departure in departures { await end(departure) }
        } onCancelOrGracefulShutdown: {
            self.departure.finish()
        }
    }

    /// The clients of the process before have lost their connections. Those that come back find their jobs.
    private func takeOver() async {
        do {
            let window = settings.current.repeatWindow
            let calls = try await queue.store.recentCalls(endedWithin: window, of: start, limit: Self.limit)
            let open = calls.open.filter { !$0.call.outlivesClient }
            for call in calls.ended.filter({ !$0.call.outlivesClient }) + open {
                let client = call.client ?? ClientName.anonymous
                let line = "\(call.call.method) \(call.call.target)"
                recent.add(
                    call.job, RecentCalls.fingerprint(of: client, line, call.model, call.bodyDigest), for: window)
            }
            for call in open {
                guard let model = queue.model(call.model), let linger = model.linger else { continue }
                // Its client may have been cut off on purpose: then the job goes on without it.
                if model.afterOutput == .restart, call.failures > 0 { continue }
                self.linger(call.job, for: linger)
            }
        } catch {
            logger.warning("calls from before the start could not be read", metadata: ["error": "\(error)"])
        }
    }

    private func end(_ departure: Departure) async {
        guard isOver(departure) else { return }
        do {
            guard let job = try await queue.store.head(departure.job), !job.status.isFinal else { return }
            guard try await queue.cancel(departure.job)?.status == .cancelled else { return }
            metrics.abandoned.add()
            logger.info("job cancelled: its client is gone", metadata: ["job_id": "\(departure.job)"])
        } catch {
            logger.warning(
                "a job whose client is gone could not be cancelled",
                metadata: ["job_id": "\(departure.job)", "error": "\(error)"]
            )
        }
    }
}
