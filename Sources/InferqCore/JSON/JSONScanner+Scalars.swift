extension JSONScanner {
    /// What a string token says, a lone surrogate as U+FFFD; nil if the value is not a string.
    package static func string(in bytes: [UInt8], _ range: Range<Int>) -> String? {
        guard let token = token(bytes, range, .string) else { return nil }
        return JSONText.decoded(bytes.span, token)
    }

    /// The value of a number token that is an integer, however it is written (`1.50e2` is 150); nil if the value is
    /// not a number, has a fraction, or does not fit.
    package static func integer(in bytes: [UInt8], _ range: Range<Int>) -> Int? {
        guard let token = token(bytes, range, .number) else { return nil }
        return JSONDecimal(bytes.span, token).integer
    }

    /// The value of a number token, rounded to the nearest; nil if the value is not a number or too large for a
    /// finite one.
    package static func double(in bytes: [UInt8], _ range: Range<Int>) -> Double? {
        guard let token = token(bytes, range, .number) else { return nil }
        guard let value = Double(JSONText.string(bytes.span.extracting(token))), value.isFinite else { return nil }
        return value
    }

    /// The token that stands in `range`, if it is of this kind.
    private static func token(_ bytes: [UInt8], _ range: Range<Int>, _ kind: JSONKind) -> Range<Int>? {
        let text = bytes.span.extracting(..<range.upperBound)
        let start = JSONByte.skipWhiteSpace(text, from: range.lowerBound)
        guard start < text.count, JSONKind(first: text[start]) == kind else { return nil }
        return start..<JSONText.endOfValue(text, at: start)
    }
}

/// A number token taken apart, for an exact answer to whether it is an integer.
private struct JSONDecimal {
    /// nil if the number has a fraction or does not fit.
    let integer: Int?

    init(_ text: Span<UInt8>, _ range: Range<Int>) {
        let isNegative = text[range.lowerBound] == JSONByte.minus
        // Counted below zero, where there is room for one number more.
        var value = 0
        // Zeros that were read and not yet multiplied in: those at the end may be a fraction's.
        var zeros = 0
        var fractionDigits = 0
        var isFraction = false
        var fits = true
        var index = isNegative ? range.lowerBound + 1 : range.lowerBound
        while index < range.upperBound, text[index] | 0x20 != UInt8(ascii: "e") {
            let byte = text[index]
            index += 1
            if byte == UInt8(ascii: ".") {
                isFraction = true
                continue
            }
            if isFraction { fractionDigits += 1 }
            if byte == UInt8(ascii: "0") {
                zeros += 1
                continue
            }
            fits = fits && Self.shift(&value, by: zeros + 1) && Self.subtract(byte, from: &value)
            zeros = 0
        }
        guard fits else {
            integer = nil
            return
        }
        let places = Self.exponent(text, index..<range.upperBound) + zeros - fractionDigits
        guard value == 0 || places >= 0 && Self.shift(&value, by: places) else {
            integer = nil
            return
        }
        integer = isNegative ? value : (value == .min ? nil : -value)
    }

    private static func subtract(_ digit: UInt8, from value: inout Int) -> Bool {
        let (result, overflow) = value.subtractingReportingOverflow(Int(digit - UInt8(ascii: "0")))
        value = result
        return !overflow
    }

    private static func shift(_ value: inout Int, by places: Int) -> Bool {
        guard value != 0 else { return true }
        for _ in 0..<places {
            let (result, overflow) = value.multipliedReportingOverflow(by: 10)
            guard !overflow else { return false }
            value = result
        }
        return true
    }

    /// The exponent, held within what no length of text can make good again.
    private static func exponent(_ text: Span<UInt8>, _ range: Range<Int>) -> Int {
        let bound = Int(Int32.max) << 16
        var value = 0
        var isNegative = false
        for index in range {
            if text[index] == JSONByte.minus { isNegative = true }
            if JSONByte.isDigit(text[index]) { value = min(bound, value * 10 + Int(text[index] - UInt8(ascii: "0"))) }
        }
        return isNegative ? -value : value
    }
}
