/// The names of frames that decide something, as the line `event:` or the JSON member `type` has them.
enum FrameName: String {
    case error
    case responseFailed = "response.failed"
    case responseCompleted = "response.completed"
    case responseIncomplete = "response.incomplete"
    case messageStop = "message_stop"

    private static let longest = 19

    /// nil for all other names.
    init?(_ bytes: Span<UInt8>) {
        guard bytes.count <= Self.longest else { return nil }
        self.init(rawValue: JSONText.string(bytes))
    }

    var isError: Bool { self == .error || self == .responseFailed }

    /// Whether the stream is whole with such a frame.
    func ends(_ mark: EndMark) -> Bool {
        switch self {
        case .error, .responseFailed: false
        case .responseCompleted, .responseIncomplete: mark == .responses
        case .messageStop: mark == .message
        }
    }
}
