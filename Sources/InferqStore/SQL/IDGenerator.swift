package import InferqCore
import Synchronization

/// From one key on, how far the identifiers of jobs lie ahead of the wall clock.
package struct IDLead: Sendable, Equatable {
    let key: JobKey
    /// The least that a job's key may be ahead of its submission, in milliseconds; at most ``slack`` more.
    let milliseconds: Int64

    /// A wall clock that is set back by less is caught up with.
    static let slack: Int64 = 1000
}

/// Hands out the identifiers of new jobs, strictly growing, whatever the wall clock does.
///
/// They carry the wall clock's time as long as that grows. When it was set back, they go on from the last one, at the
/// pace of the monotonic clock, until the wall clock has caught up. How far they are ahead meanwhile is kept, so that jobs
/// can be found by the time of their submission in the order of their keys.
package final class IDGenerator: Sendable {
    /// What one new job gets.
    package struct Issue: Sendable {
        package let id: UUIDv7
        package let eventID: UUIDv7
        /// When it was submitted.
        package let moment: Moment
        /// To be stored with the job: from which keys on identifiers are ahead. Almost always empty.
        package let leads: ArraySlice<IDLead>
    }

    private struct State {
        var last: Int64
        /// Where identifiers left the wall clock; nil while they carry its time.
        var departure: (time: Int64, elapsed: Elapsed)?
        var leads: [IDLead]
        /// How many of them are in the store.
        var stored: Int

        mutating func next(at moment: Moment) -> JobKey {
            let wall = min(max(moment.wall, Timestamp(milliseconds: 0)), .latest)
            var value = JobKey.first(at: wall).value
            if value > last {
                departure = nil
            } else if departure != nil || (last >> 12) - wall.milliseconds > IDLead.slack {
                let from = departure ?? (last >> 12, moment.elapsed)
                departure = from
                value = (from.time + (moment.elapsed - from.elapsed).milliseconds) << 12
            }
            last = max(value, last + 1)
            let key = JobKey(value: last)
            let ahead = key.time.milliseconds - wall.milliseconds
            let lead = leads.last?.milliseconds ?? 0
            if !(lead...lead + IDLead.slack).contains(ahead) {
                // Half of the slack to either side: two clocks are read, one after the other.
                leads.append(IDLead(key: key, milliseconds: ahead <= IDLead.slack ? 0 : ahead - IDLead.slack / 2))
            }
            return key
        }
    }

    private let state: Mutex<State>
    private let tag: UInt16

    /// - Parameters:
    ///   - last: the largest key that was ever in the store, so that a clock set back cannot reuse one.
    ///   - leads: those in the store, by key.
    ///   - tag: of the store: see ``UUIDv7/tag``.
    init(after last: JobKey?, leads: [IDLead] = [], tag: UInt16) {
        state = Mutex(State(last: last?.value ?? 0, leads: leads, stored: leads.count))
        self.tag = tag
    }

    /// A new job's `id` and `event_id`: the same time, counter and tag, random bits drawn apart.
    ///
    /// - Parameter read: reads the clock; called once, between those who ask before and after.
    package func next(_ read: () -> Moment) -> Issue {
        let (key, moment, leads) = state.withLock { state in
            let moment = read()
            let key = state.next(at: moment)
            return (key, moment, state.leads[state.stored...])
        }
        var random = RandomBits()
        return Issue(
            id: UUIDv7(key: key, tag: tag, random: random.next()),
            eventID: UUIDv7(key: key, tag: tag, random: random.next()),
            moment: moment,
            leads: leads
        )
    }

    /// These are on disk.
    func stored(_ leads: ArraySlice<IDLead>) {
        state.withLock { $0.stored = max($0.stored, leads.endIndex) }
    }

    /// Where jobs lie that were submitted after `lower` and before `upper`: at most ``IDLead/slack`` more of them, in
    /// runs of keys, the newest first.
    func keys(after lower: Timestamp?, before upper: Timestamp?) -> [Range<JobKey>] {
        var runs: [Range<JobKey>] = []
        var end = JobKey(value: .max)
        let leads = state.withLock { $0.leads }
        for lead in leads.reversed() + [IDLead(key: JobKey(value: 0), milliseconds: 0)] {
            defer { end = lead.key }
            let from = lower.map { JobKey.first(at: $0 + .milliseconds(lead.milliseconds + 1)) } ?? lead.key
            let to = upper.map { JobKey.first(at: $0 + .milliseconds(lead.milliseconds + IDLead.slack)) } ?? end
            let (first, last) = (max(from, lead.key), min(to, end))
            if first < last { runs.append(first..<last) }
        }
        return runs
    }
}
