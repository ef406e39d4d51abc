import HTTPTypes
import InferqCore

/// The body of a request for a response in the background: what the model server gets of it, and what it asks of the
/// gateway.
struct BackgroundRequest: Sendable {
    /// The member that asks for it.
    static let flag = "background"

    /// What the model server gets: a request for a stream that says nothing of the background, and that it need not keep.
    private(set) var body: [UInt8]
    /// Whether the client wants the events as the answer.
    let wantsEvents: Bool
    /// Of the client's `previous_response_id`; nil when there is none.
    let previous: String?

    /// Whether such a request can be made there.
    ///
    /// - Parameter target: below the model server's root.
    static func isAt(_ method: HTTPRequest.Method, _ target: String) -> Bool {
        method == .post && target.prefix { $0 != "?" } == ResponseFacts.path
    }

    /// - Throws: 400.
    init(_ body: [UInt8]) throws(APIError) {
        let object = try BodyObject(body, named: [Self.flag, "store", "stream", Self.previousMember])
        for name in [Self.flag, "store"] { _ = try object.single(name) }
        wantsEvents = try object.single("stream").map { body[$0.value.lowerBound] == UInt8(ascii: "t") } ?? false
        let named = try object.single(Self.previousMember)
        previous = named?.kind == .null ? nil : try object.text(Self.previousMember)
        self.body = body
        for name in [Self.flag, "store", "stream"] { remove(name) }
        add("\"stream\":true")
    }

    /// Names the response before as the model server knows it.
    mutating func name(previous: String) {
        var writer = JSONWriter()
        writer.value(previous)
        remove(Self.previousMember)
        add("\"\(Self.previousMember)\":\(String(decoding: writer.bytes, as: UTF8.self))")
    }

    private static let previousMember = "previous_response_id"

    /// A member that stands there once at most.
    private mutating func remove(_ name: String) {
        guard let members = (try? JSONScanner.members(of: body, named: [name])) ?? nil, !members.isEmpty else { return }
        body = JSONScanner.removing(0, of: members, from: body)
    }

    /// Puts a member in front of all others.
    private mutating func add(_ member: String) {
        guard let brace = body.firstIndex(of: UInt8(ascii: "{")) else { return }
        let isEmpty = body[(brace + 1)...].first { !" \t\r\n".utf8.contains($0) } == UInt8(ascii: "}")
        body.insert(contentsOf: (isEmpty ? member : member + ",").utf8, at: brace + 1)
    }
}
