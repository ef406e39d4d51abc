import InferqCore
import InferqQueue

/// How an answer ended that was taken in.
struct AnswerEnd {
    /// Nil: whole, as far as HTTP knows.
    let failure: (any Error)?
    var scanner: StreamScanner
    /// All bytes, if they are few or may be JSON; else nil.
    let bytes: [UInt8]?
    /// Nil: nothing was committed, and ``bytes`` are all.
    let stream: Reply.Answer.Stream?
}
