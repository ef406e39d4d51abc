/// Whose clients records and events are for.
enum RecordView: Sendable {
    case native
    /// The reference gateway's own clients: see ``ReferenceWire``.
    case reference
}
