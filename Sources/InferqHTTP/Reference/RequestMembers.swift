import InferqCore

/// The members of a job's request as its record repeats them: compact, in their order, without those that are null; of
/// members of one name the last.
struct RequestMembers: Sendable {
    struct Member: Sendable {
        let name: String
        /// JSON.
        let value: [UInt8]

        /// Bytes of the member in an object, its comma included.
        fileprivate var size: Int { nameSize + value.count + 1 }

        /// Bytes of the name in a list, its comma included.
        fileprivate var nameSize: Int {
            var writer = JSONWriter()
            writer.value(name)
            return writer.bytes.count + 1
        }
    }

    static let none = RequestMembers(nil)
    /// Those of a request that is not looked at.
    static let leftOut: RequestMembers = {
        var members = none
        members.omitted = ["input"]
        return members
    }()
    /// Of a request with more bytes, no members are shown.
    static let largestRequest = 1 << 20
    /// So many members at most are left out one by one.
    private static let mostOmitted = 16

    private(set) var members: [Member] = []
    /// The names of members that were left out for their size; `input` stands for all of them.
    private(set) var omitted: [String] = []

    /// - Parameter request: valid JSON, or nil. Anything but an object has no members.
    init(_ request: [UInt8]?) {
        guard let request else { return }
        var names: Set<String> = []
        for member in JSONScanner.members(of: request, in: request.indices).reversed()
        where names.insert(member.name).inserted && member.kind != .null {
            var value: [UInt8] = []
            JSONScanner.appendCompactASCII(request, member.value, to: &value)
            members.append(Member(name: member.name, value: value))
        }
        members.reverse()
    }

    /// Without the members of these names.
    func without(_ names: Set<String>) -> RequestMembers {
        var rest = self
        rest.members.removeAll { names.contains($0.name) }
        return rest
    }

    /// As many members as `room` bytes hold: the largest are left out first, and named in ``omitted``.
    func fitting(_ room: Int) -> RequestMembers {
        var size = members.reduce(0) { $0 + $1.size }
        guard size > room else { return self }
        var left: Set<String> = []
        for member in members.sorted(by: { $0.size > $1.size }).prefix(Self.mostOmitted) where size > room {
            size -= member.size - member.nameSize
            left.insert(member.name)
        }
        var rest = size > room ? RequestMembers.none : without(left)
        rest.omitted = size > room ? ["input"] : members.map(\.name).filter(left.contains)
        return rest
    }
}
