/// Finds out what a frame says of its stream: that it is whole, or that it failed.
struct FrameJudge {
    /// Whether the stream is whole with this frame.
    private(set) var isEnd = false
    /// Why the stream failed, in the model server's words.
    private(set) var error: String?

    /// - Parameters:
    ///   - mark: what to look for; ``EndMark/none`` if it has come.
    ///   - findsErrors: Whether to look for errors.
    ///   - isTorn: Whether the frame's end is missing, so that it is none unless its JSON is whole.
    init(_ frame: StreamFrame, mark: EndMark, findsErrors: Bool, isTorn: Bool) {
        if mark == .done, frame.text.span.starts(with: "[DONE]") {
            isEnd = true
            return
        }
        let named = frame.name
        let mayBeEnd = named?.ends(mark) == true || Self.mayEnd(frame.text.span, mark)
        let mayBeError = findsErrors && (named?.isError == true || Self.mayFail(frame.text.span))
        guard mayBeEnd || mayBeError else { return }
        let content = FrameContent(frame.text)
        if mayBeError { error = content.error(named: named) }
        if mayBeEnd, content.isWhole || frame.isCut && !isTorn { isEnd = content.ends(mark, named: named) }
    }

    private static func mayFail(_ text: Span<UInt8>) -> Bool {
        text.mentions(#""error""#) || text.mentions(#""response.failed""#)
    }

    private static func mayEnd(_ text: Span<UInt8>, _ mark: EndMark) -> Bool {
        switch mark {
        case .none, .done: false
        case .responses: text.mentions(#""response.completed""#) || text.mentions(#""response.incomplete""#)
        case .message: text.mentions(#""message_stop""#)
        case .ollama: text.mentions(#""done""#) || text.mentions(#""done_reason""#)
        case .llama: text.mentions(#""stop""#)
        case .generated: text.mentions(#""generated_text""#)
        }
    }
}
