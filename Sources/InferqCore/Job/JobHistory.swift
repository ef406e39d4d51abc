/// Events of a job, in order, with the job as it was when they were read.
///
/// A reference: a job has half a KiB of fields, and what a stream holds by value across a wait is in memory several
/// times, for each of ten thousand listeners.
package final class JobHistory: Sendable {
    package let job: Job
    package let events: [JobEvent]
    /// Whether they end at a bound of the read, so that there may be more.
    private let isCut: Bool

    package init(job: Job, events: [JobEvent], isCut: Bool = false) {
        self.job = job
        self.events = events
        self.isCut = isCut
    }

    /// The id of the last event; nil without events.
    package var last: Int64? { events.last?.id }

    /// Whether the job has newer events than the last of these.
    package var hasMore: Bool { isCut || events.last.map { $0.id < job.lastEvent } ?? false }

    /// Whether the final event is among them: then the job's bodies were read too.
    package var isAtEnd: Bool { events.last?.isLast == true }
}

/// Whose events an `event_id` names, and how far they have come.
package struct JobCourse: Sendable, Equatable {
    package let key: JobKey
    /// Whose job it is; nil for one of before there were clients.
    package let client: String?
    /// The id of the newest event, or of the newest piece of its answer.
    package let lastEvent: Int64
    package let hasEnded: Bool

    /// - Parameter lastPiece: the id of the newest piece; 0 when none has come, or the job has ended.
    package init(_ job: Job, lastPiece: Int64) {
        key = job.key
        client = job.options.client
        lastEvent = max(job.lastEvent, lastPiece)
        hasEnded = job.status.isFinal
    }
}
