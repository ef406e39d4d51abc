/// The output items of a response as its events tell of them, over all attempts: where each stands, and what is known of
/// it so far.
struct ResponseItems: Sendable {
    private struct Item {
        /// In the response.
        let index: Int
        let id: String?
        /// As the model server counts; nil: it does not.
        let serverIndex: Int?
        /// As it was added, or as it ended.
        var object: JSONObject
        var isDone = false
        var content: [ResponsePart] = []
        var summary: [ResponsePart] = []
        /// Of a function that is called.
        var arguments = ""
    }

    private var items: [Item] = []
    /// Where the items of the attempt begin that is read.
    private var start = 0

    // MARK: Events

    /// Notes what an event says of an item, and gives the event the places that it leaves out.
    mutating func note(_ type: ResponseEventType, _ event: inout JSONObject) {
        guard let place = type.isItemAdded ? add(event) : find(event) ?? (type.isItemDone ? add(event) : nil) else {
            return
        }
        event.set("output_index", items[place].index)
        if type.isItemAdded { return }
        if type.isItemDone {
            items[place].isDone = true
            items[place].object = event.object("item") ?? items[place].object
            return
        }
        if event["item_id"] == nil, let id = items[place].id { event.set("item_id", id) }
        if type.isArguments {
            if let delta = event.text("delta") { items[place].arguments += delta }
            if let whole = event.text("arguments") { items[place].arguments = whole }
        }
        if type.isText { event.complete("logprobs", with: Array("[]".utf8)) }
        if let part = event.object("part") { event.set("part", part.completedPart) }
        switch type.list {
        case .content?: Self.note(type, .content, &event, in: &items[place].content)
        case .summary?: Self.note(type, .summary, &event, in: &items[place].summary)
        case nil: break
        }
    }

    private mutating func add(_ event: JSONObject) -> Int {
        let object = event.object("item") ?? JSONObject()
        let serverIndex = event.integer("output_index")
        items.append(Item(index: items.count, id: object.text("id"), serverIndex: serverIndex, object: object))
        return items.count - 1
    }

    /// The item of the attempt that is read which an event is about; nil: it is about none.
    private func find(_ event: JSONObject) -> Int? {
        let range = start..<items.count
        let id = event.text("item_id") ?? event.object("item")?.text("id")
        if let id, let place = range.last(where: { items[$0].id == id }) { return place }
        let index = event.integer("output_index")
        if let index, let place = range.last(where: { items[$0].serverIndex == index }) { return place }
        // Where the server names none that is known, it is about the one that it writes.
        let isOfItem = id != nil || index != nil || event["delta"] != nil || event["item"] != nil
        return isOfItem ? range.last { !items[$0].isDone } : nil
    }

    private static func note(
        _ type: ResponseEventType, _ list: ResponseEventType.List, _ event: inout JSONObject,
        in parts: inout [ResponsePart]
    ) {
        let next = type.isPartAdded ? parts.count : max(parts.count - 1, 0)
        let index = event.integer(list.counter) ?? next
        event.set(list.counter, index)
        guard (0...parts.count).contains(index) else { return }
        if index == parts.count { parts.append(ResponsePart(of: type)) }
        parts[index].note(event)
    }

    // MARK: What there is

    /// The attempt is over: items that are open stay as they are.
    ///
    /// - Returns: these, each with its place.
    mutating func endAttempt() -> [(index: Int, object: JSONObject)] {
        var closed: [(Int, JSONObject)] = []
        for place in start..<items.count where !items[place].isDone {
            items[place].object = Self.shown(items[place], "incomplete")
            items[place].isDone = true
            closed.append((items[place].index, items[place].object))
        }
        start = items.count
        return closed
    }

    /// All items, each as far as it has come.
    var shown: [JSONObject] {
        items.map { $0.isDone ? $0.object : Self.shown($0, "in_progress") }
    }

    /// An item that is open.
    private static func shown(_ item: Item, _ status: String) -> JSONObject {
        var object = item.object
        object.set("status", status)
        if !item.content.isEmpty { object.set("content", item.content.map(\.shown)) }
        if !item.summary.isEmpty { object.set("summary", item.summary.map(\.shown)) }
        if !item.arguments.isEmpty { object.set("arguments", item.arguments) }
        if object.text("type") == "message" { object.complete("content", with: Array("[]".utf8)) }
        return object
    }
}
