/// One part of an output item, such as a stretch of text, while it is written.
struct ResponsePart: Sendable {
    private var object: JSONObject
    /// The member that grows.
    private let member: String
    private var text: String?

    /// A part that nothing was said of but what follows from an event's type.
    init(of type: ResponseEventType) {
        object = JSONObject()
        member = type.isRefusal ? "refusal" : "text"
        object.set("type", type.partType)
    }

    /// Takes over what an event says.
    mutating func note(_ event: JSONObject) {
        if let part = event.object("part") {
            object = part
            text = nil
        } else if let whole = event.text(member) {
            text = whole
        } else if let delta = event.text("delta") {
            if text == nil { text = object.text(member) ?? "" }
            text?.append(delta)
        }
    }

    /// As far as it has come.
    var shown: JSONObject {
        var shown = object
        if let text { shown.set(member, text) }
        return shown.completedPart
    }
}

extension JSONObject {
    /// A part of an output item with all that the API says of it.
    var completedPart: JSONObject {
        guard text("type") == "output_text" else { return self }
        var part = self
        part.complete("text", with: Array("\"\"".utf8))
        for list in ["annotations", "logprobs"] { part.complete(list, with: Array("[]".utf8)) }
        return part
    }
}
