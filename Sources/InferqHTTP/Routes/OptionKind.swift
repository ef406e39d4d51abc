import InferqCore

/// A value that a client has written for an option, and where.
struct WrittenOption {
    enum Form {
        /// A member of the body's `job`.
        case json(JSONMember, in: [UInt8])
        /// A query item, decoded.
        case text(String)
    }

    /// As a message names it: `job.priority`.
    let place: String
    let form: Form

    func invalid(_ reason: String) -> APIError {
        .invalid(place, reason)
    }
}

/// How values of one kind are read, from JSON and from text.
struct OptionKind<Value: Sendable>: Sendable {
    /// - Throws: 400 that names the place.
    let read: @Sendable (WrittenOption) throws(APIError) -> Value
    /// Nil: it is not a number.
    let range: ClosedRange<Int>?

    private init(
        range: ClosedRange<Int>? = nil,
        _ read: @escaping @Sendable (WrittenOption) throws(APIError) -> Value
    ) {
        self.read = read
        self.range = range
    }

    func map<Other: Sendable>(_ transform: @escaping @Sendable (Value) -> Other) -> OptionKind<Other> {
        OptionKind<Other>(range: range) { written throws(APIError) in transform(try read(written)) }
    }

    /// Only values that meet a condition.
    func such(_ reason: String, _ isValid: @escaping @Sendable (Value) -> Bool) -> OptionKind {
        OptionKind(range: range) { written throws(APIError) in
            let value = try read(written)
            guard isValid(value) else { throw written.invalid(reason) }
            return value
        }
    }
}

extension OptionKind<Int> {
    static func integer(in range: ClosedRange<Int>) -> OptionKind {
        OptionKind(range: range) { written throws(APIError) in
            let number: Int? =
                switch written.form {
                case .json(let member, let body): JSONScanner.integer(in: body, member.value)
                case .text(let text): Int(saturating: text)
                }
            guard let number else { throw written.invalid("it must be a whole number") }
            guard range.contains(number) else {
                throw written.invalid("it must be from \(range.lowerBound) to \(range.upperBound)")
            }
            return number
        }
    }
}

extension OptionKind<Duration> {
    /// A number of seconds, or a text such as `30s`.
    static var duration: OptionKind {
        OptionKind { written throws(APIError) in
            let duration: Duration? =
                switch written.form {
                case .text(let text): DurationText.parse(text)
                case .json(let member, let body):
                    switch member.kind {
                    case .number: JSONScanner.double(in: body, member.value).flatMap(DurationText.duration(seconds:))
                    case .string: JSONScanner.string(in: body, member.value).flatMap(DurationText.parse)
                    case .object, .array, .bool, .null: nil
                    }
                }
            guard let duration else {
                let examples = #""250ms", "30s", "5m", "2h", "1d""#
                throw written.invalid("it must be a duration, a number of seconds or a string such as \(examples)")
            }
            return duration
        }
    }
}

extension OptionKind<String> {
    fileprivate static var text: OptionKind {
        OptionKind { written throws(APIError) in
            switch written.form {
            case .text(let text): return text
            case .json(let member, let body):
                guard member.kind == .string, let text = JSONScanner.string(in: body, member.value) else {
                    throw written.invalid("it must be a string")
                }
                return text
            }
        }
    }

    /// An idempotency key.
    static var key: OptionKind {
        .text.such("it must be 1 to 255 visible ASCII characters, and not an access key", IdempotencyKey.isValid)
    }
}

extension OptionKind<Timestamp> {
    /// A point in time as RFC 3339 writes it.
    static var time: OptionKind {
        OptionKind { written throws(APIError) in
            let text = try OptionKind<String>.text.read(written)
            guard let time = Timestamp(rfc3339: text) else { throw .notATime(written.place, text) }
            return time
        }
    }
}

extension OptionKind<[UInt8]> {
    /// A JSON object as it came.
    ///
    /// - Parameter limit: bytes.
    static func object(upTo limit: Int) -> OptionKind {
        OptionKind { written throws(APIError) in
            let bytes = try object(written)
            guard bytes.count <= limit else { throw written.invalid("it is larger than \(limit) bytes") }
            return bytes
        }
    }

    private static func object(_ written: WrittenOption) throws(APIError) -> [UInt8] {
        switch written.form {
        case .json(let member, let body):
            guard member.kind == .object else { throw written.invalid("it must be an object") }
            return Array(body[member.value])
        case .text(let text):
            let bytes = Array(text.utf8)
            let kind: JSONKind
            do {
                kind = try JSONScanner.validate(bytes)
            } catch {
                throw written.invalid("it is not valid JSON: \(error)")
            }
            guard kind == .object else { throw written.invalid("it must be a JSON object") }
            return bytes
        }
    }
}
