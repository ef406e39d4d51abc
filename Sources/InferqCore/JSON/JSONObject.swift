/// A JSON object whose members are looked up, set and added. What is not touched stays as it was written, in its place.
package struct JSONObject: Sendable {
    private var members: [(name: String, value: [UInt8])] = []

    package init() {}

    /// Nil for a text that is not JSON, or no object. Of members of the same name the last one counts.
    package init?(_ text: [UInt8]) {
        guard (try? JSONScanner.validate(text)) == .object else { return nil }
        self.init(valid: text)
    }

    /// As ``init(_:)``, of a text of which only these members are wanted: it may have any number of others.
    package init?(_ text: [UInt8], named names: [String]) {
        guard let members = (try? JSONScanner.members(of: text, named: names)) ?? nil else { return nil }
        self.init(members, of: text)
    }

    /// - Parameter text: of an object, and known to be JSON.
    private init(valid text: [UInt8]) {
        self.init(JSONScanner.members(of: text, in: text.indices), of: text)
    }

    private init(_ found: [JSONMember], of text: [UInt8]) {
        // A text from outside may have a million of them.
        var places: [String: Int] = [:]
        for member in found {
            if let place = places[member.name] {
                members[place].value = Array(text[member.value])
            } else {
                places[member.name] = members.count
                members.append((member.name, Array(text[member.value])))
            }
        }
    }

    /// The text of a member's value; nil: there is none of that name.
    package subscript(name: String) -> [UInt8]? {
        get { members.last { $0.name == name }?.value }
        set {
            let place = members.firstIndex { $0.name == name }
            switch (place, newValue) {
            case (let place?, let value?): members[place].value = value
            case (let place?, nil): members.remove(at: place)
            case (nil, let value?): members.append((name, value))
            case (nil, nil): break
            }
        }
    }

    /// Sets a member that is missing.
    package mutating func complete(_ name: String, with value: [UInt8]) {
        if self[name] == nil { self[name] = value }
    }

    /// Sets all members of `other` that are missing.
    package mutating func complete(with other: JSONObject) {
        for (name, value) in other.members { complete(name, with: value) }
    }

    // MARK: Values

    package func text(_ name: String) -> String? {
        self[name].flatMap { JSONScanner.string(in: $0, $0.indices) }
    }

    package func integer(_ name: String) -> Int? {
        self[name].flatMap { JSONScanner.integer(in: $0, $0.indices) }
    }

    package func object(_ name: String) -> JSONObject? {
        self[name].flatMap { $0.first == JSONByte.openBrace ? JSONObject(valid: $0) : nil }
    }

    /// The objects of an array; none where there is no such array.
    package func objects(_ name: String) -> [JSONObject] {
        guard let list = self[name] else { return [] }
        return JSONScanner.elements(of: list, in: list.indices).compactMap { element in
            list[element.lowerBound] == JSONByte.openBrace ? JSONObject(valid: Array(list[element])) : nil
        }
    }

    package mutating func set(_ name: String, _ value: String) {
        var writer = JSONWriter(capacity: value.utf8.count + 2)
        writer.value(value)
        self[name] = writer.bytes
    }

    package mutating func set(_ name: String, _ value: Int) {
        self[name] = Array(String(value).utf8)
    }

    package mutating func set(_ name: String, _ value: JSONObject) {
        self[name] = value.bytes
    }

    package mutating func set(_ name: String, _ values: [JSONObject]) {
        var writer = JSONWriter()
        writer.beginArray()
        for value in values { writer.raw(value.bytes) }
        writer.endArray()
        self[name] = writer.bytes
    }

    /// The object as it is written.
    package var bytes: [UInt8] {
        var writer = JSONWriter(capacity: members.reduce(2) { $0 + $1.name.utf8.count + $1.value.count + 4 })
        writer.beginObject()
        for (name, value) in members {
            writer.name(escaping: name)
            writer.raw(value)
        }
        writer.endObject()
        return writer.bytes
    }
}
