package import InferqCore

/// Where the pieces of an attempt's answer go as they come.
package struct PieceSink: Sendable {
    /// Returns once the piece is on disk. Called for one piece at a time, in order.
    ///
    /// Throws when it will never be: the attempt is over, or the store has failed.
    package let commit: @Sendable (Piece) async throws -> Void

    package init(commit: @escaping @Sendable (Piece) async throws -> Void) {
        self.commit = commit
    }
}

/// Why a piece is not stored.
package enum PieceRefusal: Error {
    /// The attempt has ended meanwhile.
    case attemptOver
    /// Bytes before the piece are missing: the answer has so many.
    case gap(end: Int)
}
