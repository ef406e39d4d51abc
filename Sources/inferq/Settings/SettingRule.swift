import InferqCore

/// What a setting takes: turns a value of the files into the program's own, or says why it cannot.
struct SettingRule<Value>: Sendable {
    /// What a rule may need beside the value.
    struct Context {
        /// A value that would be right, as the files write it.
        let example: String
        let credentials: Credentials
    }

    /// A value as the files write it.
    let write: @Sendable (Value) -> String
    /// The values that there are, as in `1 to 64`; nil where no few words say it.
    let range: String?
    let isList: Bool
    /// For problems, where the default is no example.
    private let example: String?
    private let read: @Sendable (SettingsValue, Context) throws(Refusal) -> Value

    init(
        example: String? = nil,
        range: String? = nil,
        isList: Bool = false,
        write: @escaping @Sendable (Value) -> String,
        read: @escaping @Sendable (SettingsValue, Context) throws(Refusal) -> Value
    ) {
        self.example = example
        self.range = range
        self.isList = isList
        self.write = write
        self.read = read
    }

    /// - Parameter default: the example in a problem, unless the rule has its own.
    func value(
        _ value: SettingsValue,
        default: Value,
        _ credentials: Credentials
    ) throws(Refusal) -> Value {
        try read(value, Context(example: example ?? write(`default`), credentials: credentials))
    }
}

extension SettingRule where Value == Int {
    static func count(in bounds: ClosedRange<Int>) -> Self {
        let range = "\(bounds.lowerBound) to \(bounds.upperBound)"
        return Self(range: range, write: { "\($0)" }) { value, context throws(Refusal) in
            switch value {
            case .whole(let number) where bounds.contains(number):
                return number
            case .whole(let number):
                throw Refusal("\(number) is out of range", "choose \(range)")
            case .text(let text) where Int(text) != nil:
                throw Refusal("expected a whole number, found \(value.found)", "write it without quotation marks")
            default:
                throw Refusal(
                    "expected a whole number, found \(value.found)", "write something like \(context.example)")
            }
        }
    }

    /// Bytes, as a text with a unit or as a plain number.
    static func size(in bounds: ClosedRange<Int>) -> Self {
        let write: @Sendable (Int) -> String = { "\"\(ByteSizeText.format($0))\"" }
        let range = "\(write(bounds.lowerBound)) to \(write(bounds.upperBound))"
        return Self(range: range, write: write) { value, context throws(Refusal) in
            let bytes: Int? =
                switch value {
                case .whole(let number): number
                case .text(let text): ByteSizeText.parse(text)
                default: nil
                }
            guard let bytes else {
                throw Refusal(
                    "expected a size, found \(value.found)",
                    "write something like \(context.example) (the units are B, KiB, MiB, GiB and TiB)"
                )
            }
            guard bounds.contains(bytes) else { throw Refusal("\(value.plain) is out of range", "choose \(range)") }
            return bytes
        }
    }

    /// One of a few sizes.
    static func size(of sizes: [Int]) -> Self {
        let any = size(in: 0 ... .max)
        let range = sizes.map(any.write).joined(separator: ", ")
        return Self(range: range, write: any.write) { value, context throws(Refusal) in
            let bytes = try any.read(value, context)
            guard sizes.contains(bytes) else {
                throw Refusal("\(value.plain) is not one of the possible sizes", "choose \(range)")
            }
            return bytes
        }
    }
}

extension SettingRule where Value == Duration {
    /// A text with a unit, or a number of seconds.
    static func duration(in bounds: ClosedRange<Duration>) -> Self {
        let write: @Sendable (Duration) -> String = { "\"\(DurationText.format($0))\"" }
        let range = "\(write(bounds.lowerBound)) to \(write(bounds.upperBound))"
        return Self(range: range, write: write) { value, context throws(Refusal) in
            let duration: Duration? =
                switch value {
                case .whole(let number): DurationText.duration(seconds: Double(number))
                case .fraction(let number): DurationText.duration(seconds: number)
                case .text(let text): DurationText.parse(text)
                default: nil
                }
            guard let duration else {
                throw Refusal(
                    "expected a duration, found \(value.found)",
                    "write something like \(context.example) (the units are ms, s, m, h and d)"
                )
            }
            guard bounds.contains(duration) else { throw Refusal("\(value.plain) is out of range", "choose \(range)") }
            return duration
        }
    }
}

extension SettingRule where Value == Duration? {
    /// As ``SettingRule/duration(in:)``, or a word that stands for no end.
    static func duration(in bounds: ClosedRange<Duration>, or word: String) -> Self {
        let rule = SettingRule<Duration>.duration(in: bounds)
        return Self(
            example: "\"10m\"",
            range: rule.range.map { "\($0), or \(word.isEmpty ? "empty" : "\"\(word)\"")" },
            write: { $0.map(rule.write) ?? "\"\(word)\"" }
        ) { value, context throws(Refusal) in
            if value == .text(word) { return nil }
            let context = SettingRule<Duration>.Context(example: context.example, credentials: context.credentials)
            do throws(Refusal) {
                return try rule.read(value, context)
            } catch {
                throw Refusal(error.what, "\(error.advice), or \"\(word)\"")
            }
        }
    }
}

extension SettingRule where Value == Rate {
    static var rate: Self {
        Self(write: { "\"\($0.text)\"" }) { value, context throws(Refusal) in
            guard case .text(let text) = value, let rate = Rate(text) else {
                let advice = "write something like \(context.example), a number per duration"
                throw Refusal("expected a number and a duration, found \(value.found)", advice)
            }
            return rate
        }
    }
}

extension SettingRule where Value == Bool {
    static var flag: Self {
        Self(range: "true, false", write: { "\($0)" }) { value, context throws(Refusal) in
            guard case .boolean(let flag) = value else {
                throw Refusal("expected true or false, found \(value.found)", "write something like \(context.example)")
            }
            return flag
        }
    }
}

extension SettingRule where Value: RawRepresentable & CaseIterable & Sendable, Value.RawValue == String {
    /// One of the words that `Value` has.
    static var word: Self {
        let range = Value.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
        return Self(range: range, write: { "\"\($0.rawValue)\"" }) { value, _ throws(Refusal) in
            if case .text(let text) = value, let word = Value(rawValue: text) { return word }
            throw Refusal("expected one of a few words, found \(value.found)", "choose \(range)")
        }
    }
}

extension SettingRule where Value == String {
    /// One line of text that passes `check`.
    static func text(example: String? = nil, check: @escaping @Sendable (String) throws(Refusal) -> String) -> Self {
        Self(example: example.map { "\"\($0)\"" }, write: { "\"\($0)\"" }) { value, context throws(Refusal) in
            guard case .text(let text) = value else {
                throw Refusal("expected a string, found \(value.found)", "write something like \(context.example)")
            }
            return try check(text.asLine())
        }
    }
}

extension SettingRule {
    /// One line of text, or a credential of systemd, that `read` takes. It may hold a password: no problem quotes it.
    static func secret(
        example: String,
        write: @escaping @Sendable (Value) -> String,
        read: @escaping @Sendable (String) throws(Refusal) -> Value
    ) -> Self {
        Self(example: "\"\(example)\"", write: write) { value, context throws(Refusal) in
            guard case .text(let text) = value else {
                throw Refusal("expected a string, found \(value.kind)", "write something like \(context.example)")
            }
            return try read(context.credentials.resolve(text.asLine()))
        }
    }

    /// A list whose items follow `rule`, which has an example.
    static func list<Item: Equatable & Sendable>(of rule: SettingRule<Item>) -> Self where Value == [Item] {
        let example = rule.example ?? ""
        return Self(
            example: "[\(example)]",
            isList: true,
            write: { "[\($0.map(rule.write).joined(separator: ", "))]" }
        ) { value, context throws(Refusal) in
            guard case .list(let values) = value else {
                throw Refusal("expected a list, found \(value.found)", "write something like \(context.example)")
            }
            guard values.count <= 1024 else {
                throw Refusal("a list of \(values.count) items is too long", "use at most 1024 items")
            }
            let inner = SettingRule<Item>.Context(example: example, credentials: context.credentials)
            var items: [Item] = []
            var refusals: [Refusal] = []
            for (index, value) in values.enumerated() {
                do throws(Refusal) {
                    let item = try rule.read(value, inner)
                    if !items.contains(item) { items.append(item) }
                } catch {
                    refusals.append(Refusal("item \(index + 1): \(error.what)", error.advice))
                }
            }
            guard let first = refusals.first else { return items }
            throw Refusal(refusals.map(\.what).joined(separator: "; "), first.advice)
        }
    }
}

extension String {
    /// The text itself: one line of at most 8192 bytes.
    fileprivate func asLine() throws(Refusal) -> String {
        guard utf8.count <= 8192 else {
            throw Refusal("a string of \(utf8.count) bytes is too long", "use at most 8192 bytes")
        }
        guard !unicodeScalars.contains(where: \.isInvisible) else {
            throw Refusal("the string holds a control character or a line break", "remove it")
        }
        return self
    }
}

extension SettingsValue {
    /// A number or a text as it was written, for sentences about its size.
    fileprivate var plain: String {
        switch self {
        case .whole(let number): "\(number)"
        case .fraction(let number): "\(number)"
        case .text(let text): text.quoted()
        default: kind
        }
    }
}
