import InferqCore

/// Documents that all kinds of objects of the OpenAI API share.
enum OpenAIDocuments {
    /// A page of a list.
    static func list<Entry>(
        _ page: some Collection<Entry>, hasMore: Bool, _ ids: HexID, _ id: (Entry) -> UUIDv7,
        write: (Entry, inout JSONWriter) -> Void
    ) -> [UInt8] {
        var writer = JSONWriter(capacity: 256 * page.count + 128)
        writer.beginObject()
        writer.name("object")
        writer.value("list")
        writer.name("data")
        writer.beginArray()
        var last: Entry?
        for entry in page {
            write(entry, &writer)
            last = entry
        }
        writer.endArray()
        writer.name("first_id")
        writer.value(page.first.map { ids.text(of: id($0)) })
        writer.name("last_id")
        writer.value(last.map { ids.text(of: id($0)) })
        writer.name("has_more")
        writer.value(hasMore)
        writer.endObject()
        return writer.bytes
    }

    /// - Parameter object: what kind of thing it was.
    static func deleted(_ id: String, _ object: String) -> [UInt8] {
        var writer = JSONWriter(capacity: 128)
        writer.beginObject()
        writer.name("id")
        writer.value(id)
        writer.name("object")
        writer.value(object)
        writer.name("deleted")
        writer.value(true)
        writer.endObject()
        return writer.bytes
    }
}
