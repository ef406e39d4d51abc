import InferqCore

/// Finds the model's name in a body while that arrives: the JSON member, the part of a form or its field, of that name.
/// It keeps no more of the body than a name.
///
/// Where a name stands twice, the last one counts, as with most readers of JSON and forms.
struct BodyModel {
    private enum Reader {
        /// Nothing has come that tells JSON from a form.
        case undecided
        case json(JSONMemberReader)
        case form(FormFieldReader)
        case multipart(MultipartReader)
        /// Bytes that are none of these.
        case none
    }

    private let names: [String]
    private let flags: [String]
    private let isForm: Bool
    private var reader: Reader

    /// - Parameters:
    ///   - contentEncoding: of a body that is compressed, nothing is found.
    ///   - names: under which the model may stand; the first that does counts.
    ///   - flags: members of JSON that ``isTrue(_:)`` is asked for.
    init(
        contentType: String?, contentEncoding: String? = nil, names: [String] = ["model"], flags: [String] = []
    ) {
        self.names = names
        self.flags = flags
        let essence = contentType.flatMap(MediaType.init)?.essence
        isForm = essence == "application/x-www-form-urlencoded"
        guard contentEncoding == nil || contentEncoding?.lowercased() == "identity" else {
            reader = .none
            return
        }
        guard let contentType, essence == "multipart/form-data" else {
            reader = .undecided
            return
        }
        let boundary = FieldParameters(contentType)["boundary"] ?? ""
        reader = MultipartReader(boundary: boundary, names: names).map { .multipart($0) } ?? .none
    }

    /// - Parameter bytes: what follows those of the call before.
    mutating func read(_ bytes: Span<UInt8>) {
        switch reader {
        case .none: break
        case .undecided:
            guard let first = bytes.firstNonSpace else { return }
            // By the bytes: curl calls JSON a form unless it is told otherwise, and model servers read it all the same.
            if first == UInt8(ascii: "{") {
                reader = .json(JSONMemberReader(names + flags))
            } else {
                reader = isForm ? .form(FormFieldReader(names)) : .none
            }
            read(bytes)
        case .json(var json):
            reader = .none
            json.read(bytes)
            reader = .json(json)
        case .form(var form):
            reader = .none
            form.read(bytes)
            reader = .form(form)
        case .multipart(var parts):
            reader = .none
            parts.read(bytes)
            reader = .multipart(parts)
        }
    }

    /// What the body names, once it is there as a whole; nil: nothing.
    var name: String? {
        let values: [String: String] =
            switch reader {
            case .none, .undecided: [:]
            case .json(let json): json.values
            case .form(let form): form.values
            case .multipart(let parts): parts.values
            }
        return names.lazy.compactMap { values[$0] }.first { !$0.isEmpty }
    }

    /// Whether a body that is JSON, and is there as a whole, has `true` in this member.
    func isTrue(_ flag: String) -> Bool {
        guard case .json(let json) = reader else { return false }
        return json.words[flag] == "true"
    }

    /// What a body that is there as a whole names.
    static func name(
        in bytes: [UInt8], contentType: String?, contentEncoding: String? = nil, names: [String] = ["model"]
    ) -> String? {
        var model = BodyModel(contentType: contentType, contentEncoding: contentEncoding, names: names)
        model.read(bytes.span)
        return model.name
    }
}

extension Span<UInt8> {
    /// The first byte that is no space, nor of a byte order mark.
    fileprivate var firstNonSpace: UInt8? {
        for index in indices where !" \t\r\n\u{FEFF}".utf8.contains(self[index]) { return self[index] }
        return nil
    }
}
