/// Events of a job, in order, with the job as it was when they were read.
///
/// A reference: a job has half a KiB of fields, and what a stream holds by value across a wait lies in memory several
/// times, for each of ten thousand listeners.
package final class JobHistory: Sendable {
    package let job: Job
    package let events: [JobEvent]

    package init(job: Job, events: [JobEvent]) {
        self.job = job
        self.events = events
    }

    /// The id of the last event; nil without events.
    package var last: Int64? { events.last?.id }

    /// Whether the job has newer events than the last of these.
    package var hasMore: Bool { events.last.map { $0.id < job.lastEvent } ?? false }

    /// Whether the final event is among them: then the job's bodies were read too.
    package var isAtEnd: Bool { events.last?.isLast == true }
}

/// Whose events an `event_id` names, and how far they have come.
package struct JobCourse: Sendable, Equatable {
    package let key: JobKey
    /// The id of the newest event.
    package let lastEvent: Int64
    package let hasEnded: Bool

    package init(_ job: Job) {
        key = job.key
        lastEvent = job.lastEvent
        hasEnded = job.status.isFinal
    }
}
