import InferqCore

/// A body that must be a JSON object.
struct BodyObject {
    let bytes: [UInt8]
    var members: [JSONMember]

    /// - Parameter names: the members to look for; nil: all.
    /// - Throws: 400.
    init(_ bytes: [UInt8], named names: [String]? = nil) throws(APIError) {
        self.bytes = bytes
        let found: [JSONMember]?
        do {
            found = try JSONScanner.members(of: bytes, named: names)
        } catch {
            throw .malformedJSON(error)
        }
        guard let found else { throw .invalid("body", "it must be a JSON object") }
        members = found
    }

    /// Nil when it is missing.
    ///
    /// - Throws: 400 when it is there more than once.
    func single(_ name: String) throws(APIError) -> JSONMember? {
        let matches = members.filter { $0.name == name }
        guard matches.count <= 1 else { throw .invalid(name, "it is given twice") }
        return matches.first
    }

    /// The text of a member; nil when it is missing.
    ///
    /// - Throws: 400.
    func text(_ name: String) throws(APIError) -> String? {
        guard let member = try single(name) else { return nil }
        guard member.kind == .string, let text = JSONScanner.string(in: bytes, member.value) else {
            throw .invalid(name, "it must be a string")
        }
        return text
    }
}
