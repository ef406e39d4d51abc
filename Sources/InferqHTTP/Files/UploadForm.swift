import InferqCore

/// The form that a file comes in: its parts `file`, `purpose` and `expires_after`, in any order.
struct UploadForm: MultipartVisitor {
    /// Bytes that are kept of a part that is not a file; the longest that says something is a number.
    private static let longestField = 256
    private static let fieldNames: Set = ["purpose", "expires_after[anchor]", "expires_after[seconds]"]

    /// Seconds that a file may be kept: those of the API, an hour to 30 days.
    static let lifetimes = 3600...2_592_000

    private enum Part {
        case file
        case field(String)
    }

    /// Bytes of the file that were read and are to be written.
    private(set) var bytes: [UInt8] = []
    /// As the sender calls it; nil: no file has come.
    private(set) var fileName: String?
    private(set) var fields: [String: String] = [:]
    /// Whether more than one file has come.
    private(set) var hasSeveralFiles = false
    private var part: Part?
    private var content: [UInt8] = []

    mutating func partBegins(_ disposition: FieldParameters) {
        content = []
        guard let name = disposition["name"] else {
            part = nil
            return
        }
        guard name == "file" else {
            part = Self.fieldNames.contains(name) ? .field(name) : nil
            return
        }
        hasSeveralFiles = fileName != nil
        fileName = Self.plain(disposition["filename"] ?? "")
        part = .file
    }

    mutating func partGoesOn(_ bytes: Span<UInt8>) {
        switch part {
        case .file?:
            bytes.withUnsafeBufferPointer { self.bytes.append(contentsOf: $0) }
        case .field?:
            let room = max(0, Self.longestField - content.count)
            bytes.extracting(..<min(room, bytes.count)).withUnsafeBufferPointer { content.append(contentsOf: $0) }
        case nil: break
        }
    }

    mutating func partEnds() {
        if case .field(let name)? = part { fields[name] = String(decoding: content, as: UTF8.self) }
        part = nil
    }

    /// What was read of the file since the call before.
    mutating func takeBytes() -> [UInt8] {
        defer { bytes.removeAll(keepingCapacity: true) }
        return bytes
    }

    /// The last part of a path, without what could harm a terminal or a list.
    private static func plain(_ name: String) -> String {
        let last = name.split { $0 == "/" || $0 == "\\" }.last.map(String.init) ?? ""
        let plain = String(last.unicodeScalars.filter { !$0.properties.generalCategory.isControl }.prefix(255))
        return plain.isEmpty ? "file" : plain
    }

    // MARK: What it says

    /// - Throws: 400.
    func purpose() throws(APIError) -> Upload.Purpose {
        guard let name = fields["purpose"] else { throw .invalid("purpose", "it is missing") }
        guard name == Upload.Purpose.batch.name else { throw .invalid("purpose", "it must be batch") }
        return .batch
    }

    /// How long the file is kept; nil: as long as the retention says.
    ///
    /// - Throws: 400.
    func lifetime() throws(APIError) -> Duration? {
        let anchor = fields["expires_after[anchor]"]
        let seconds = fields["expires_after[seconds]"]
        guard anchor != nil || seconds != nil else { return nil }
        guard anchor == "created_at" else { throw .invalid("expires_after[anchor]", "it must be created_at") }
        guard let seconds = seconds.flatMap({ Int($0) }), Self.lifetimes.contains(seconds) else {
            throw .invalid("expires_after[seconds]", "it must be a whole number from 3600 to 2592000")
        }
        return .seconds(seconds)
    }
}

extension Unicode.GeneralCategory {
    fileprivate var isControl: Bool {
        [.control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned].contains(self)
    }
}
