/// How an attempt ended.
package enum Outcome: Sendable, Equatable {
    case answered(Answer)
    /// - Parameter retryAfter: the pause that the model server asked for.
    case failed(Failure, retryAfter: Duration?)
    /// The model server did not take the call: the job goes back to its place.
    case refused(Refusal)

    /// A model server's answer.
    package struct Answer: Sendable, Equatable {
        package var payload: Payload
        package var layers: Job.Layers

        package init(payload: Payload, layers: Job.Layers) {
            self.payload = payload
            self.layers = layers
        }
    }
}
