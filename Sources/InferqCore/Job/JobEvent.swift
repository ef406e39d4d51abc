/// One numbered, immutable entry in the history of a job.
///
/// It keeps what the job's row forgets; the rest of what listeners see is read from the row, which no longer changes
/// once the final event is there.
package struct JobEvent: Sendable, Equatable, Identifiable {
    package enum Kind: Int, Sendable, CaseIterable {
        /// The job's state has changed, or it completed or was cancelled.
        case updated
        /// The model server told of its progress.
        case progress
        /// The model server handed over layers early.
        case layersReady
        /// An attempt failed and will be repeated.
        case attemptFailed
        /// The job ended in ERROR.
        case failed
        /// A piece of the answer has come. It is in a table of its own, and only those who ask for it see it.
        case output
    }

    /// An event that has no id yet: what a transition returns.
    package struct Draft: Sendable, Equatable {
        package var kind: Kind
        package var status: Status
        package var attempt: Int
        package var runAt: Timestamp
        /// A sentence for people, shown as `message`.
        package var text: String?
        /// The job's error at this moment, except in final events: there the row has it.
        package var error: Failure?
        /// The JSON object that the model server sent, compact and ASCII. Of a pending job whose attempt was cut short: how
        /// far its answer had come.
        package var detail: [UInt8]?
        /// Of ``Kind/output``.
        package var piece: Piece?

        package init(
            kind: Kind,
            status: Status,
            attempt: Int,
            runAt: Timestamp,
            text: String? = nil,
            error: Failure? = nil,
            detail: [UInt8]? = nil
        ) {
            self.kind = kind
            self.status = status
            self.attempt = attempt
            self.runAt = runAt
            self.text = text
            self.error = error
            self.detail = detail
        }
    }

    /// From the store's one sequence: grows with every event of every job, and is never given twice.
    package let id: Int64
    package let job: JobKey
    /// As people are shown it.
    package let at: Timestamp
    package let draft: Draft

    package init(
        id: Int64,
        job: JobKey,
        at: Timestamp,
        draft: Draft
    ) {
        self.id = id
        self.job = job
        self.at = at
        self.draft = draft
    }

    package var kind: Kind { draft.kind }
    package var status: Status { draft.status }
    package var isLast: Bool { status.isFinal }
}
