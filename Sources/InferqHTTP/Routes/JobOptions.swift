import HTTPTypes
import InferqCore
import InferqQueue

/// What a client asks of the gateway: the members of `job`, or query items of the same names.
struct JobOptions {
    var options = Submission.Options()
    var key: String?

    init() {}

    /// - Parameter range: the `job` member's value in `body`, which has been validated.
    init(job range: Range<Int>, in body: [UInt8]) throws(APIError) {
        guard JSONScanner.kind(of: body, at: range.lowerBound) == .object else {
            throw .invalid("job", "it must be an object")
        }
        var seen: Set<String> = []
        for member in JSONScanner.members(of: body, in: range) {
            let place = "job.\(member.name.clipped)"
            guard seen.insert(member.name).inserted else { throw .invalid(place, "it is given twice") }
            guard let option = JobOption.named(member.name) else { throw JobOption.unknown(place) }
            try option.take(WrittenOption(place: place, form: .json(member, in: body)), &self)
        }
    }

    /// - Parameter reserved: items that mean something else there.
    init(_ query: Query, except reserved: Set<String>) throws(APIError) {
        for name in query.items.map(\.name) where !reserved.contains(name) && JobOption.named(name) == nil {
            throw JobOption.unknown("query item \(name.clipped)")
        }
        for option in JobOption.all {
            guard let text = try query.single(option.name) else { continue }
            try option.take(WrittenOption(place: "query item \(option.name)", form: .text(text)), &self)
        }
    }

    /// Header fields: `X-Inferq-Max-Attempts` is `max_attempts`. The key has a field of its own.
    init(headers: HTTPFields) throws(APIError) {
        for field in headers where field.name.canonicalName.hasPrefix(Self.headerPrefix) {
            let place = "header \(field.name.rawName.clipped)"
            let name = String(field.name.canonicalName.dropFirst(Self.headerPrefix.count)).replacing("-", with: "_")
            guard name != "key", let option = JobOption.named(name) else { throw JobOption.unknownHeader(place) }
            guard headers[values: field.name].count == 1 else { throw .invalid(place, "it is given twice") }
            try option.take(WrittenOption(place: place, form: .text(field.value)), &self)
        }
    }

    private static let headerPrefix = "x-inferq-"

    /// The key of a request, from its header or from its options.
    ///
    /// - Throws: 400 for a header that is not a key, or that differs from the options' one.
    func key(orHeader header: String?) throws(APIError) -> String? {
        guard let header else { return key }
        let written = WrittenOption(place: "header Idempotency-Key", form: .text(header))
        let text = try OptionKind.key.read(written)
        guard key == nil || key == text else { throw written.invalid("it differs from the key in the options") }
        return text
    }
}
