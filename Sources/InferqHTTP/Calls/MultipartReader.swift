import InferqCore

/// Reads some parts of a form (`multipart/form-data`) from its bytes as they come, whatever their order.
struct MultipartReader {
    private var parser: MultipartParser
    private var fields: Fields

    /// Nil for what is not a boundary.
    init?(boundary: String, names: [String]) {
        guard let parser = MultipartParser(boundary: boundary) else { return nil }
        self.parser = parser
        fields = Fields(names: Set(names))
    }

    var values: [String: String] { fields.values }

    mutating func read(_ bytes: Span<UInt8>) {
        parser.read(bytes, &fields)
    }

    /// Keeps the contents of the parts that are wanted.
    private struct Fields: MultipartVisitor {
        let names: Set<String>
        private(set) var values: [String: String] = [:]
        private var wanted: String?
        private var content: [UInt8] = []

        init(names: Set<String>) {
            self.names = names
        }

        mutating func partBegins(_ disposition: FieldParameters) {
            wanted = disposition["name"].flatMap { names.contains($0) ? $0 : nil }
            content = []
        }

        mutating func partGoesOn(_ bytes: Span<UInt8>) {
            guard wanted != nil, content.count <= NameLimit.byteCount else { return }
            bytes.withUnsafeBufferPointer { content.append(contentsOf: $0) }
        }

        mutating func partEnds() {
            if let wanted, content.count <= NameLimit.byteCount {
                values[wanted] = String(decoding: content, as: UTF8.self)
            }
            wanted = nil
        }
    }
}
