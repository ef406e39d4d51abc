import InferqCore
import Logging

/// Documents that all kinds of objects of the OpenAI API share.
enum OpenAIDocuments {
    /// A page of a list.
    static func list<Object: OpenAIObject>(_ page: some Collection<Object>, hasMore: Bool) -> [UInt8] {
        var writer = JSONWriter(capacity: 256 * page.count + 128)
        writer.beginObject()
        writer.name("object")
        writer.value("list")
        writer.name("data")
        writer.beginArray()
        var last: Object?
        for object in page {
            object.write(to: &writer)
            last = object
        }
        writer.endArray()
        writer.name("first_id")
        writer.value(page.first?.name)
        writer.name("last_id")
        writer.value(last?.name)
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

extension GatewayContext {
    /// Before an object is changed: one's own by the scope of the route, everyone's by `operate`.
    ///
    /// - Throws: 403.
    func checkMayChange(_ object: some OpenAIObject) throws(APIError) {
        guard object.client == caller.client || caller.scopes.contains(.operate) else {
            throw .scopeMissing(.operate, of: caller)
        }
    }

    /// Says in the log who has done something with an object.
    func note<Object: OpenAIObject>(_ deed: Logger.Message, of object: Object) {
        logger.info(deed, metadata: who.merging(["\(Object.kind)_id": "\(object.name)"]) { $1 })
    }
}
