/// What Redis answers to one command (RESP2).
package enum RedisReply: Sendable, Equatable {
    case null
    case status(String)
    case integer(Int)
    case bytes([UInt8])
    case array([RedisReply])
    case error(String)

    /// The elements of an array; an empty list for anything else, as Redis says "nothing" in several ways.
    var elements: [RedisReply] {
        if case .array(let elements) = self { elements } else { [] }
    }

    /// Nil for anything but a string.
    var bytes: [UInt8]? {
        if case .bytes(let bytes) = self { bytes } else { nil }
    }

    var text: String? { bytes.map { String(decoding: $0, as: UTF8.self) } }

    var integer: Int? {
        if case .integer(let number) = self { number } else { nil }
    }

    /// Whether Redis has refused a write for want of room (`maxmemory`).
    var isOutOfMemory: Bool {
        if case .error(let text) = self { text.hasPrefix("OOM") } else { false }
    }

    /// Whether the user that was configured may not do this (an ACL).
    var isForbidden: Bool {
        if case .error(let text) = self { text.hasPrefix("NOPERM") } else { false }
    }

    /// Whether an error is about what is under a key, and not about Redis.
    var blamesKey: Bool {
        guard case .error(let text) = self else { return false }
        return ["WRONGTYPE", "ERR The ID", "ERR The stream", "ERR Invalid stream ID"].contains { text.hasPrefix($0) }
    }
}

/// One command with its arguments, as bytes.
package struct RedisCommand: Sendable {
    private(set) var bytes: [UInt8] = []
    /// Where each argument ends.
    private(set) var ends: [Int] = []

    package init(_ arguments: String...) {
        for argument in arguments { add(argument) }
    }

    init(_ arguments: [String]) {
        for argument in arguments { add(argument) }
    }

    mutating func add(_ argument: String) {
        bytes.append(contentsOf: argument.utf8)
        ends.append(bytes.count)
    }

    mutating func add(_ argument: [UInt8]) {
        bytes.append(contentsOf: argument)
        ends.append(bytes.count)
    }

    /// For messages to people.
    var name: String { String(decoding: bytes.prefix(ends.first ?? 0), as: UTF8.self) }
}
