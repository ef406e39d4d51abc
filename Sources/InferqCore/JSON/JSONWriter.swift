/// Writes compact ASCII JSON into one buffer. It sets the commas; that calls come in an order that makes JSON, and
/// every `begin` has its `end`, is up to the caller.
package struct JSONWriter: Sendable {
    package private(set) var bytes: [UInt8] = []
    private var needsComma = false

    /// - Parameter capacity: How many bytes to make room for.
    package init(capacity: Int = 0) {
        bytes.reserveCapacity(capacity)
    }

    /// Makes room for this many bytes in all; meant to be called once, before writing.
    package mutating func reserveCapacity(_ capacity: Int) {
        bytes.reserveCapacity(capacity)
    }

    package mutating func beginObject() {
        begin(JSONByte.openBrace)
    }

    package mutating func endObject() {
        end(JSONByte.closeBrace)
    }

    package mutating func beginArray() {
        begin(JSONByte.openBracket)
    }

    package mutating func endArray() {
        end(JSONByte.closeBracket)
    }

    /// Begins a member; its value is the next call.
    package mutating func name(escaping name: String) {
        value(name)
        bytes.append(JSONByte.colon)
        needsComma = false
    }

    /// Begins a member whose name is written in the program and needs no escapes.
    package mutating func name(_ name: StaticString) {
        token(name.utf8CodeUnitCount + 3) { out in
            out.append(JSONByte.quote)
            out.append(name)
            out.append(JSONByte.quote)
            out.append(JSONByte.colon)
        }
        needsComma = false
    }

    /// Writes a text that is put together from plain ones and an identifier.
    package mutating func value(_ before: StaticString, _ id: UUIDv7, _ after: StaticString = "") {
        token(before.utf8CodeUnitCount + UUIDv7.textLength + after.utf8CodeUnitCount + 2) { out in
            out.append(JSONByte.quote)
            out.append(before)
            id.append(to: &out)
            out.append(after)
            out.append(JSONByte.quote)
        }
    }

    /// Writes an identifier.
    package mutating func value(_ id: UUIDv7) {
        value("", id)
    }

    /// Writes a moment as RFC 3339 has it.
    package mutating func value(_ time: Timestamp) {
        token(Timestamp.textLength + 2) { out in
            out.append(JSONByte.quote)
            time.append(to: &out)
            out.append(JSONByte.quote)
        }
    }

    package mutating func value(_ value: String) {
        var value = value
        value.withUTF8 { text in
            let text = text.span
            let plain = JSONByte.skipPlain(text, from: 0)
            token(plain + 2) { out in
                out.append(JSONByte.quote)
                out.append(text.extracting(first: plain))
                if plain == text.count { out.append(JSONByte.quote) }
            }
            guard plain < text.count else { return }
            JSONCompact.appendEscaped(text, from: plain, to: &bytes)
            bytes.append(JSONByte.quote)
        }
    }

    package mutating func value(_ value: Int) {
        self.value(Int64(value))
    }

    package mutating func value(_ value: Int64) {
        // 2^63 has 19 digits.
        token(20) { out in
            if value < 0 { out.append(JSONByte.minus) }
            let magnitude = value.magnitude
            var power: UInt64 = 1
            while magnitude / power >= 10 { power *= 10 }
            while power > 0 {
                out.append(UInt8(ascii: "0") + UInt8(magnitude / power % 10))
                power /= 10
            }
        }
    }

    /// Writes the shortest digits that give the same value again; null in place of what JSON cannot say (not finite).
    package mutating func value(_ value: Double) {
        guard value.isFinite else { return null() }
        separate()
        var digits = value.description[...]
        if digits.hasSuffix(".0") { digits.removeLast(2) }
        bytes.append(contentsOf: digits.utf8)
    }

    package mutating func value(_ value: Bool) {
        plain(value ? "true" : "false")
    }

    // Null in place of what is missing.

    package mutating func value(_ value: String?) {
        if let value { self.value(value) } else { null() }
    }

    package mutating func value(_ value: Int?) {
        if let value { self.value(value) } else { null() }
    }

    package mutating func value(_ value: Double?) {
        if let value { self.value(value) } else { null() }
    }

    package mutating func value(_ time: Timestamp?) {
        if let time { value(time) } else { null() }
    }

    package mutating func value(_ id: UUIDv7?) {
        if let id { value(id) } else { null() }
    }

    /// Writes an array of texts.
    package mutating func value(_ texts: [String]) {
        beginArray()
        for text in texts { value(text) }
        endArray()
    }

    package mutating func null() {
        plain("null")
    }

    /// Writes a value that is valid JSON already, as it is.
    package mutating func raw(_ json: [UInt8]) {
        separate()
        bytes.append(contentsOf: json)
    }

    /// Writes the valid JSON value in `range` as it is.
    package mutating func raw(_ json: [UInt8], _ range: Range<Int>) {
        separate()
        JSONText.append(json.span, range, to: &bytes)
    }

    /// Writes the valid JSON value in `range` as ``JSONScanner/appendCompactASCII(_:_:to:)`` has it.
    package mutating func compact(_ json: [UInt8], _ range: Range<Int>) {
        separate()
        JSONScanner.appendCompactASCII(json, range, to: &bytes)
    }

    private mutating func plain(_ text: StaticString) {
        token(text.utf8CodeUnitCount) { $0.append(text) }
    }

    private mutating func begin(_ bracket: UInt8) {
        token(1) { $0.append(bracket) }
        needsComma = false
    }

    private mutating func end(_ bracket: UInt8) {
        bytes.append(bracket)
        needsComma = true
    }

    /// Appends the comma that is due and what `write` appends; the array's capacity is checked once.
    ///
    /// - Parameter room: the most bytes that `write` appends.
    @inline(__always)
    private mutating func token(_ room: Int, _ write: (inout OutputSpan<UInt8>) -> Void) {
        let comma = needsComma
        needsComma = true
        bytes.append(addingCapacity: comma ? room + 1 : room) { out in
            if comma { out.append(JSONByte.comma) }
            write(&out)
        }
    }

    private mutating func separate() {
        if needsComma { bytes.append(JSONByte.comma) }
        needsComma = true
    }
}
