import InferqCore
package import InferqStore

/// An event as other programs hear it in Redis: `{"id", "detail_type", "status", "data"}`.
package enum PublishedEvent {
    /// - Throws: ``StoreError`` when an output cannot be read.
    package static func bytes(_ entry: EventPage.Entry, _ store: JobStore) async throws -> [UInt8] {
        var output: [UInt8]?
        if entry.event.isLast, let payload = entry.job.output { output = try await store.shown(payload) }
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("id")
        writer.value(Int(entry.event.id))
        // The same members as in the stream, with the same ones left out.
        return writer.bytes + [UInt8(ascii: ",")] + Wire.event(entry.event, of: entry.job, output: output).dropFirst()
    }
}
