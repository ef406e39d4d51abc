import InferqCore

/// Reads what a client asks of the gateway: the members of `job`, or query items of the same names.
struct JobOptions {
    private(set) var options = Submission.Options()
    private(set) var key: String?

    private static let names = [
        "delay", "expires_in", "key", "max_attempts", "metadata", "priority", "run_at", "timeout",
    ]

    init() {}

    // MARK: From JSON

    /// - Parameter range: the `job` member's value in `body`, which has been validated.
    init(job range: Range<Int>, in body: [UInt8]) throws(APIError) {
        self.init()
        guard JSONScanner.kind(of: body, at: range.lowerBound) == .object else {
            throw .invalid("job", "it must be an object")
        }
        var seen: Set<String> = []
        for member in JSONScanner.members(of: body, in: range) {
            let place = "job.\(member.name.clipped)"
            guard seen.insert(member.name).inserted else { throw .invalid(place, "it is given twice") }
            switch member.name {
            case "priority":
                try setPriority(Self.integer(member, body, place), place)
            case "max_attempts":
                try setMaxAttempts(Self.integer(member, body, place), place)
            case "run_at": try setRunAt(Self.text(member, body, place), place)
            case "delay": try setDelay(Self.duration(member, body, place), place)
            case "expires_in": try setExpiry(Self.duration(member, body, place), place)
            case "timeout": try setTimeout(Self.duration(member, body, place), place)
            case "metadata":
                guard member.kind == .object else { throw .invalid(place, "it must be an object") }
                try setMetadata(Array(body[member.value]), place)
            case "key": try setKey(Self.text(member, body, place), place)
            default: throw Self.unknown(place)
            }
        }
    }

    private static func integer(_ member: JSONMember, _ body: [UInt8], _ place: String) throws(APIError) -> Int {
        guard let value = JSONScanner.integer(in: body, member.value) else {
            throw .invalid(place, "it must be a whole number")
        }
        return value
    }

    private static func text(_ member: JSONMember, _ body: [UInt8], _ place: String) throws(APIError) -> String {
        guard member.kind == .string, let value = JSONScanner.string(in: body, member.value) else {
            throw .invalid(place, "it must be a string")
        }
        return value
    }

    private static func duration(_ member: JSONMember, _ body: [UInt8], _ place: String) throws(APIError) -> Duration {
        let value: Duration?
        switch member.kind {
        case .number: value = JSONScanner.double(in: body, member.value).flatMap(DurationText.duration(seconds:))
        case .string: value = JSONScanner.string(in: body, member.value).flatMap(DurationText.parse)
        case .object, .array, .bool, .null: value = nil
        }
        guard let value else { throw notADuration(place) }
        return value
    }

    // MARK: From the query

    /// - Parameter reserved: items that mean something else there.
    init(_ query: Query, except reserved: Set<String>) throws(APIError) {
        self.init()
        for name in query.items.map(\.name) where !reserved.contains(name) && !Self.names.contains(name) {
            throw Self.unknown("query item \(name.clipped)")
        }
        func item(_ name: String) throws(APIError) -> (String, String)? {
            try query.single(name).map { ($0, "query item \(name)") }
        }
        if let (text, place) = try item("priority") { try setPriority(Self.integer(text, place), place) }
        if let (text, place) = try item("max_attempts") { try setMaxAttempts(Self.integer(text, place), place) }
        if let (text, place) = try item("run_at") { try setRunAt(text, place) }
        if let (text, place) = try item("delay") { try setDelay(Self.duration(text, place), place) }
        if let (text, place) = try item("expires_in") { try setExpiry(Self.duration(text, place), place) }
        if let (text, place) = try item("timeout") { try setTimeout(Self.duration(text, place), place) }
        if let (text, place) = try item("key") { try setKey(text, place) }
        if let (text, place) = try item("metadata") {
            let bytes = Array(text.utf8)
            do {
                guard try JSONScanner.validate(bytes) == .object else {
                    throw APIError.invalid(place, "it must be a JSON object")
                }
            } catch let error as JSONError {
                throw .invalid(place, "it is not valid JSON: \(error)")
            } catch {
                throw .invalid(place, "it must be a JSON object")
            }
            try setMetadata(bytes, place)
        }
    }

    private static func integer(_ text: String, _ place: String) throws(APIError) -> Int {
        guard let value = Int(saturating: text) else { throw .invalid(place, "it must be a whole number") }
        return value
    }

    private static func duration(_ text: String, _ place: String) throws(APIError) -> Duration {
        guard let value = DurationText.parse(text) else { throw notADuration(place) }
        return value
    }

    // MARK: Ranges

    private static func unknown(_ place: String) -> APIError {
        .invalid(place, "it is not known; known are \(names.joined(separator: ", "))")
    }

    private static func notADuration(_ place: String) -> APIError {
        .invalid(
            place,
            "it must be a duration, a number of seconds or a text such as \"250ms\", \"30s\", \"5m\", \"2h\", \"1d\"")
    }

    private mutating func setPriority(_ value: Int, _ place: String) throws(APIError) {
        guard (-100...100).contains(value) else { throw .invalid(place, "it must be from -100 to 100") }
        options.priority = value
    }

    private mutating func setMaxAttempts(_ value: Int, _ place: String) throws(APIError) {
        guard (1...25).contains(value) else { throw .invalid(place, "it must be from 1 to 25") }
        options.maxAttempts = value
    }

    private mutating func setRunAt(_ text: String, _ place: String) throws(APIError) {
        guard let time = Timestamp(rfc3339: text) else {
            throw .notATime(place, text)
        }
        if options.delay != nil { throw .invalid(place, "it cannot stand beside delay") }
        options.runAt = time
    }

    private mutating func setDelay(_ value: Duration, _ place: String) throws(APIError) {
        guard options.runAt == nil else { throw .invalid(place, "it cannot stand beside run_at") }
        options.delay = value
    }

    private mutating func setExpiry(_ value: Duration, _ place: String) throws(APIError) {
        guard value > .zero else { throw .invalid(place, "it must be more than nothing") }
        options.expiresIn = value
    }

    private mutating func setTimeout(_ value: Duration, _ place: String) throws(APIError) {
        guard value >= .milliseconds(1) else { throw .invalid(place, "it must be a millisecond at least") }
        options.timeout = value
    }

    private mutating func setMetadata(_ bytes: [UInt8], _ place: String) throws(APIError) {
        guard bytes.count <= 4096 else { throw .invalid(place, "it is larger than 4096 bytes") }
        options.metadata = bytes
    }

    private mutating func setKey(_ text: String, _ place: String) throws(APIError) {
        try Self.checkKey(text, place)
        key = text
    }

    private static func checkKey(_ text: String, _ place: String) throws(APIError) {
        guard (1...255).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw .invalid(place, "it must be 1 to 255 visible ASCII characters")
        }
    }

    /// The key of a request, from its header or from its options.
    ///
    /// - Throws: 400 for a header that is no key, or that differs from the options' one.
    func key(orHeader header: String?) throws(APIError) -> String? {
        guard let header else { return key }
        try Self.checkKey(header, "header Idempotency-Key")
        guard key == nil || key == header else {
            throw .invalid("header Idempotency-Key", "it differs from the key in the options")
        }
        return header
    }
}
