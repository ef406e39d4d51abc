/// A change that the job's state does not allow.
package struct IllegalTransition: Error, Equatable {
    package let id: UUIDv7
    package let status: Status
    package let change: String

    package init(_ id: UUIDv7, _ status: Status, _ change: String) {
        self.id = id
        self.status = status
        self.change = change
    }
}
