/// A kind of object that the OpenAI API has and that stands in the store.
package protocol OpenAIObject: Sendable {
    /// Of all objects of the kind.
    static var ids: HexID { get }
    /// As the API calls the kind.
    static var kind: String { get }
    var id: UUIDv7 { get }
    /// Whose it is.
    var client: String { get }

    /// The object as the API shows it.
    func write(to writer: inout JSONWriter)
}

extension OpenAIObject {
    /// Its identifier as the API has it.
    package var name: String { Self.ids.text(of: id) }

    /// What ``write(to:)`` writes, by itself.
    package var document: [UInt8] {
        var writer = JSONWriter(capacity: 768)
        write(to: &writer)
        return writer.bytes
    }
}
