/// Where a job's predicted layers are.
package enum PredictedLayers: Sendable, Equatable {
    case none
    /// The bytes of the output that are an array of objects.
    case array(Range<Int>)
    /// The bytes of the output that are one object: a list of one.
    case object(Range<Int>)
    /// An array that the model server handed over early.
    case early([UInt8])
}
