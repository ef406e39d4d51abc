/// A header field as it was sent.
package struct HeaderField: Sendable, Equatable {
    package let name: String
    package let value: String

    package init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// A request that a client makes to a model server through inferq, in the server's own language. The body is the job's
/// input; this is the rest. It never changes, and jobs share it.
package final class Call: Sendable {
    package let method: String
    /// Path and query as the model server sees them, below its root.
    package let target: String
    package let dialect: Dialect
    /// The client's own, as far as they pass.
    package let headers: [HeaderField]
    /// The client opted in to have the job go on without it.
    package let outlivesClient: Bool
    /// Of a response in the background; nil for all other calls.
    package let background: BackgroundCall?

    package init(
        method: String, target: String, dialect: Dialect, headers: [HeaderField], outlivesClient: Bool,
        background: BackgroundCall? = nil
    ) {
        self.method = method
        self.target = target
        self.dialect = dialect
        self.headers = headers
        self.outlivesClient = outlivesClient
        self.background = background
    }
}

/// What is kept of a response in the background beside the body that the model server gets.
package struct BackgroundCall: Sendable, Equatable {
    /// As the client has put it into `previous_response_id`; nil: it has not.
    package let previous: String?

    package init(previous: String?) {
        self.previous = previous
    }
}

/// The head of a model server's answer to a call, whatever its status.
package final class AnswerHead: Sendable {
    package let status: Int
    /// The end-to-end ones, without what the payload says itself (type, encoding, length).
    package let headers: [HeaderField]

    package init(status: Int, headers: [HeaderField]) {
        self.status = status
        self.headers = headers
    }
}

extension Call {
    /// The same, with no one waiting.
    package var outliving: Call {
        Call(
            method: method, target: target, dialect: dialect, headers: headers, outlivesClient: true,
            background: background)
    }
}

extension Call {
    /// The target without its query.
    package var path: String { String(target.prefix { $0 != "?" }) }
}

extension Call: Equatable {
    package static func == (one: Call, other: Call) -> Bool {
        one === other
            || (one.method, one.target, one.dialect, one.outlivesClient, one.background)
                == (other.method, other.target, other.dialect, other.outlivesClient, other.background)
                && one.headers == other.headers
    }
}

extension AnswerHead: Equatable {
    package static func == (one: AnswerHead, other: AnswerHead) -> Bool {
        one === other || one.status == other.status && one.headers == other.headers
    }
}

// MARK: Stored form

extension Call {
    /// Compact ASCII JSON: what the store keeps, and what travels to workers.
    package var json: [UInt8] {
        var writer = JSONWriter(capacity: 256)
        writer.beginObject()
        writer.name("method")
        writer.value(method)
        writer.name("target")
        writer.value(target)
        writer.name("dialect")
        writer.value(dialect.rawValue)
        writer.name("outlives")
        writer.value(outlivesClient)
        writer.name("headers")
        headers.write(to: &writer)
        if let background {
            writer.name("background")
            writer.beginObject()
            if let previous = background.previous {
                writer.name("previous")
                writer.value(previous)
            }
            writer.endObject()
        }
        writer.endObject()
        return writer.bytes
    }

    /// Reads what ``json`` wrote; nil for anything else.
    package convenience init?(json bytes: [UInt8]) {
        let members = StoredMembers(bytes)
        guard let method = members.text("method"), let target = members.text("target"),
            let dialect = members.text("dialect").flatMap(Dialect.init), let headers = members.headers("headers")
        else { return nil }
        self.init(
            method: method, target: target, dialect: dialect, headers: headers,
            outlivesClient: members.isTrue("outlives"),
            background: members.object("background").map {
                BackgroundCall(previous: StoredMembers($0).text("previous"))
            }
        )
    }
}

extension AnswerHead {
    /// As ``Call/json``.
    package var json: [UInt8] {
        var writer = JSONWriter(capacity: 128)
        writer.beginObject()
        writer.name("status")
        writer.value(status)
        writer.name("headers")
        headers.write(to: &writer)
        writer.endObject()
        return writer.bytes
    }

    /// Reads what ``json`` wrote; nil for anything else.
    package convenience init?(json bytes: [UInt8]) {
        let members = StoredMembers(bytes)
        guard let status = members.integer("status"), (100...999).contains(status),
            let headers = members.headers("headers")
        else { return nil }
        self.init(status: status, headers: headers)
    }
}

/// The members of a stored JSON object.
struct StoredMembers {
    private let bytes: [UInt8]
    private let members: [JSONMember]

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        let kind = try? JSONScanner.validate(bytes)
        members = kind == .object ? JSONScanner.members(of: bytes, in: bytes.indices) : []
    }

    private func value(_ name: String) -> Range<Int>? {
        members.first { $0.name == name }?.value
    }

    func text(_ name: String) -> String? {
        value(name).flatMap { JSONScanner.string(in: bytes, $0) }
    }

    func integer(_ name: String) -> Int? {
        value(name).flatMap { JSONScanner.integer(in: bytes, $0) }
    }

    func object(_ name: String) -> [UInt8]? {
        value(name).map { Array(bytes[$0]) }
    }

    func isTrue(_ name: String) -> Bool {
        value(name).map { bytes[$0.lowerBound] == UInt8(ascii: "t") } ?? false
    }

    /// Names and values in turn.
    func headers(_ name: String) -> [HeaderField]? {
        guard let list = value(name), JSONScanner.kind(of: bytes, at: list.lowerBound) == .array else { return nil }
        let texts = JSONScanner.elements(of: bytes, in: list).compactMap { JSONScanner.string(in: bytes, $0) }
        guard texts.count.isMultiple(of: 2) else { return nil }
        return stride(from: 0, to: texts.count, by: 2).map { HeaderField(texts[$0], texts[$0 + 1]) }
    }
}

// MARK: From other hosts

extension Call {
    /// Whether it can stand in the head of a request as it is.
    package var isWellFormed: Bool {
        !method.isEmpty && method.utf8.allSatisfy { (0x41...0x5A).contains($0) } && target.utf8.first == 0x2F
            && target.utf8.allSatisfy { (0x21...0x7E).contains($0) } && headers.allSatisfy(\.isWellFormed)
    }
}

extension AnswerHead {
    /// Whether it can stand in the head of an answer as it is.
    package var isWellFormed: Bool { headers.allSatisfy(\.isWellFormed) }
}

extension HeaderField {
    /// RFC 9110, section 5: a token, and a value that does not break the line.
    fileprivate var isWellFormed: Bool {
        !name.isEmpty
            && name.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                    || "!#$%&'*+-.^_`|~".utf8.contains(byte)
            }
            && !value.utf8.contains { $0 == 0x0D || $0 == 0x0A || $0 == 0 }
    }
}

extension [HeaderField] {
    fileprivate func write(to writer: inout JSONWriter) {
        writer.beginArray()
        for field in self {
            writer.value(field.name)
            writer.value(field.value)
        }
        writer.endArray()
    }
}
