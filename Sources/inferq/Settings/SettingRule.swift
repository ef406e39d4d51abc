import InferqCore

/// What a setting takes: turns a value of the file into the program's own, or says why it cannot.
struct SettingRule<Value> {
    let apply: (SettingsValue) throws(Refusal) -> Value

    init(_ apply: @escaping (SettingsValue) throws(Refusal) -> Value) {
        self.apply = apply
    }
}

extension SettingRule where Value == Int {
    static func count(in range: ClosedRange<Int>, example: Int) -> Self {
        Self { value throws(Refusal) in
            switch value {
            case .whole(let number) where range.contains(number):
                return number
            case .whole(let number):
                throw Refusal("\(number) is out of range", "choose \(range.lowerBound) to \(range.upperBound)")
            case .text(let text) where Int(text) != nil:
                throw Refusal("expected a whole number, found \(value.found)", "write it without quotation marks")
            default:
                throw Refusal("expected a whole number, found \(value.found)", "write for example \(example)")
            }
        }
    }

    /// Bytes, as a text with a unit or as a plain number.
    static func size(in range: ClosedRange<Int>, example: String) -> Self {
        Self { value throws(Refusal) in
            let bytes: Int? =
                switch value {
                case .whole(let number): number
                case .text(let text): ByteSizeText.parse(text)
                default: nil
                }
            guard let bytes else {
                throw Refusal(
                    "expected a size, found \(value.found)",
                    "write for example \"\(example)\" (the units are B, KiB, MiB, GiB and TiB)"
                )
            }
            guard range.contains(bytes) else {
                let ends = (ByteSizeText.format(range.lowerBound), ByteSizeText.format(range.upperBound))
                throw Refusal("\(value.plain) is out of range", "choose \"\(ends.0)\" to \"\(ends.1)\"")
            }
            return bytes
        }
    }
}

extension SettingRule where Value == Duration {
    /// A text with a unit, or a number of seconds.
    static func duration(in range: ClosedRange<Duration>, example: String) -> Self {
        Self { value throws(Refusal) in
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
                    "write for example \"\(example)\" (the units are ms, s, m, h and d)"
                )
            }
            guard range.contains(duration) else {
                let ends = (DurationText.format(range.lowerBound), DurationText.format(range.upperBound))
                throw Refusal("\(value.plain) is out of range", "choose \"\(ends.0)\" to \"\(ends.1)\"")
            }
            return duration
        }
    }
}

extension SettingRule where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
    /// One of the words that `Value` has.
    static var word: Self {
        Self { value throws(Refusal) in
            if case .text(let text) = value, let word = Value(rawValue: text) { return word }
            let words = Value.allCases.map { "\"\($0.rawValue)\"" }
            throw Refusal(
                "expected one of a few words, found \(value.found)", "choose \(words.joined(separator: ", "))")
        }
    }
}

extension SettingRule where Value == String {
    /// One line of text that passes `check`.
    ///
    /// - Parameter isSecret: The value may hold a password: no problem quotes it.
    static func text(
        example: String,
        isSecret: Bool = false,
        check: @escaping (String) throws(Refusal) -> String
    ) -> Self {
        Self { value throws(Refusal) in
            guard case .text(let text) = value else {
                let found = isSecret ? value.kind : value.found
                throw Refusal("expected a text, found \(found)", "write for example \"\(example)\"")
            }
            guard text.utf8.count <= 8192 else {
                throw Refusal("a text of \(text.utf8.count) bytes is too long", "use at most 8192 bytes")
            }
            guard !text.unicodeScalars.contains(where: \.isInvisible) else {
                throw Refusal("the text holds a control character or a line break", "remove it")
            }
            return try check(text)
        }
    }
}

extension SettingRule {
    /// A list whose items follow `rule`.
    static func list<Item: Equatable>(of rule: SettingRule<Item>, example: String) -> SettingRule<[Item]>
    where Value == [Item] {
        SettingRule<[Item]> { value throws(Refusal) in
            guard case .list(let values) = value else {
                throw Refusal("expected a list, found \(value.found)", "write for example [\"\(example)\"]")
            }
            guard values.count <= 1024 else {
                throw Refusal("a list of \(values.count) items is too long", "use at most 1024 items")
            }
            var items: [Item] = []
            var refusals: [Refusal] = []
            for (index, value) in values.enumerated() {
                do throws(Refusal) {
                    let item = try rule.apply(value)
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
