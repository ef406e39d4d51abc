/// The job's state does not allow what was asked.
package struct WrongState: Error, Sendable, Equatable {
    package let status: Status

    package init(status: Status) {
        self.status = status
    }
}
