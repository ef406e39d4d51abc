/// How an attempt ended.
package enum Outcome: Sendable, Equatable {
    case answered(Answer)
    /// - Parameters:
    ///   - retryAfter: the pause that the model server asked for.
    ///   - answer: of a call, what its client gets should this be the last attempt; nil where there was none.
    case failed(Failure, retryAfter: Duration?, answer: Answer? = nil)
    /// The model server did not take the call: the job goes back to its place.
    case refused(Refusal)

    /// The file that the outcome holds until the job names it.
    package var file: BlobName? {
        let answer: Answer? =
            switch self {
            case .answered(let answer): answer
            case .failed(_, _, let answer): answer
            case .refused: nil
            }
        guard case .file(let name) = answer?.payload.content else { return nil }
        return name
    }

    /// The end of an answer whose beginning was stored as it came.
    package var rest: Piece? {
        switch self {
        case .answered(let answer): answer.rest
        case .failed(_, _, let answer): answer?.rest
        case .refused: nil
        }
    }

    /// A model server's answer.
    package struct Answer: Sendable, Equatable {
        package var payload: Payload
        package var layers: PredictedLayers
        /// The last piece, stored along with the outcome; nil: there is none that is not stored.
        package var rest: Piece?

        package init(payload: Payload, layers: PredictedLayers) {
            self.payload = payload
            self.layers = layers
        }
    }
}
