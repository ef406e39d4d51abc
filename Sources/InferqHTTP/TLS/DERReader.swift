/// Reads DER (X.690), one element after the other.
struct DERReader {
    struct Element {
        let tag: UInt8
        let content: ArraySlice<UInt8>

        /// What stands in it.
        var elements: DERReader { DERReader(content) }
    }

    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) {
        rest = bytes
    }

    /// Nil at the end, and where what follows is not DER.
    mutating func next() -> Element? {
        guard let tag = rest.popFirst(), tag & 0x1F != 0x1F, let first = rest.popFirst() else { return nil }
        var length = Int(first)
        if first >= 0x80 {
            let count = Int(first & 0x7F)
            guard (1...4).contains(count), rest.count >= count else { return nil }
            length = rest.prefix(count).reduce(0) { $0 << 8 | Int($1) }
            rest = rest.dropFirst(count)
        }
        guard rest.count >= length else { return nil }
        defer { rest = rest.dropFirst(length) }
        return Element(tag: tag, content: rest.prefix(length))
    }
}

/// The common names in a certificate (RFC 5280, section 4.1), which NIOSSL does not tell.
struct CommonNames: Equatable {
    /// In their order; of a certificate that cannot be read, none.
    private(set) var ofSubject: [String] = []
    private(set) var ofIssuer: [String] = []

    private static let sequence: UInt8 = 0x30
    /// `[0]`, the version, which older certificates leave out.
    private static let version: UInt8 = 0xA0
    /// 2.5.4.3.
    private static let commonName: [UInt8] = [0x55, 0x04, 0x03]
    /// Those whose bytes are UTF-8: UTF8String, PrintableString, IA5String.
    private static let texts: Set<UInt8> = [0x0C, 0x13, 0x16]

    init(certificate: [UInt8]) {
        var top = DERReader(certificate[...])
        guard var outer = top.next()?.elements, var fields = outer.next()?.elements else { return }
        var field = fields.next()
        // The version, then the serial number, the signature's algorithm, the issuer, the validity, the subject.
        if field?.tag == Self.version { field = fields.next() }
        guard field != nil, fields.next() != nil, let issuer = fields.next(), fields.next() != nil,
            let subject = fields.next(), issuer.tag == Self.sequence, subject.tag == Self.sequence
        else { return }
        ofIssuer = Self.names(in: issuer)
        ofSubject = Self.names(in: subject)
    }

    private static func names(in name: DERReader.Element) -> [String] {
        var names: [String] = []
        var sets = name.elements
        while let set = sets.next() {
            var pairs = set.elements
            while let pair = pairs.next() {
                var parts = pair.elements
                guard let kind = parts.next(), let value = parts.next(), Array(kind.content) == commonName,
                    texts.contains(value.tag), let text = String(validating: value.content, as: UTF8.self)
                else { continue }
                names.append(text)
            }
        }
        return names
    }
}
