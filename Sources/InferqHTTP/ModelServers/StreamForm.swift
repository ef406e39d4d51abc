import InferqCore
import NIOHTTP1

/// What is known of an answer that comes piece by piece before its bytes have come.
struct StreamForm: Sendable {
    let framing: StreamFraming
    let mark: EndMark
    let findsErrors: Bool
    /// By its type. Any other is one if it has not come whole within ``patience``.
    let isStream: Bool
    let head: StreamHead
    private let claimsJSON: Bool
    private let mayHideJSON: Bool

    /// How long an answer in chunks may take before it counts as one that comes piece by piece.
    static let patience = Duration.milliseconds(100)

    /// - Parameters:
    ///   - path: of the call below the server's root; nil: of a native submit to an address of its own.
    ///   - head: what is stored of the answer's head.
    init(_ dialect: Dialect, path: String?, _ head: StreamHead) {
        self.head = head
        let type = head.contentType.flatMap(MediaType.init)
        let framing = type.flatMap { StreamFraming(essence: $0.essence) }
        isStream = framing != nil
        // What is encoded cannot be read.
        self.framing = head.contentEncoding == nil ? framing ?? .none : .none
        mark = EndMark(dialect, path: path ?? "", framing: self.framing)
        findsErrors = dialect != .none && self.framing != .none
        claimsJSON = type?.isJSON ?? false
        mayHideJSON = AnswerForm.mayHideJSON(type)
    }

    /// Whether an answer that is too long to be in its row may have to be shown as JSON.
    func mayBeJSON(beginningWith bytes: [UInt8]) -> Bool {
        claimsJSON || mayHideJSON && AnswerForm.beginsLikeContainer(bytes)
    }

    /// Whether an answer must be taken in as it comes.
    static func comesBitByBit(_ answer: ClientAnswer) -> Bool {
        guard case .parts = answer.body else { return false }
        return answer.headers["transfer-encoding"].contains { $0.lowercased().hasSuffix("chunked") }
    }
}
