/// A change that the job's state does not allow.
package struct IllegalTransition: Error, Equatable {
    package let id: UUIDv7
    package let status: Status
    package let change: String

    package init(_ job: Job, _ change: String) {
        id = job.id
        status = job.status
        self.change = change
    }
}
