/// Sizes as the configuration writes them: a number of bytes, or a number with a binary unit.
package enum ByteSizeText {
    /// The bytes that `text` names: `"512"`, `"10B"`, `"64KiB"`, `"16MiB"`, `"2GiB"`, `"1TiB"`.
    ///
    /// Nil for anything else, decimal units (`"64KB"`) among it: people mean either by them. Nil if it does not fit.
    package static func parse(_ text: String) -> Int? {
        let bytes = text.utf8
        let digits = bytes.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard !digits.isEmpty, let count = Int(Substring(digits)) else { return nil }
        guard let unit = units[String(Substring(bytes[digits.endIndex...]))] else { return nil }
        let product = count.multipliedReportingOverflow(by: unit)
        return product.overflow ? nil : product.partialValue
    }

    /// The shortest exact text that ``parse(_:)`` reads back: `"64KiB"`, `"1000B"`.
    package static func format(_ bytes: Int) -> String {
        if bytes == 0 { return "0B" }
        for unit in ["TiB", "GiB", "MiB", "KiB"] {
            guard let size = units[unit] else { continue }
            if bytes.isMultiple(of: size) { return "\(bytes / size)\(unit)" }
        }
        return "\(bytes)B"
    }

    /// For people, rounded down to whole units from 10 of them on: `"9216B"`, `"612MiB"`.
    package static func approximate(_ bytes: Int) -> String {
        for unit in ["TiB", "GiB", "MiB", "KiB"] {
            guard let size = units[unit], bytes >= 10 * size else { continue }
            return "\(bytes / size)\(unit)"
        }
        return "\(bytes)B"
    }

    private static let units = ["": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40]
}
