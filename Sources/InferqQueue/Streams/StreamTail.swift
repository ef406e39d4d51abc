import DequeModule
import InferqCore

/// The newest pieces of an answer that comes in, as they were committed: those who follow it at its end need not read
/// them again.
package struct StreamTail: Sendable {
    /// Bytes that follow one another.
    package struct Stretch: Sendable {
        package fileprivate(set) var bytes: [UInt8] = []
        /// The id of the piece that the last of them is in.
        package fileprivate(set) var lastPiece: Int64
    }

    /// Bytes of the pieces that are kept, the newest aside.
    private static let limit = 16 << 10

    let run: PieceRun
    /// What the head of the answer said; nil after a start in its middle.
    private(set) var head: StreamHead?
    private var pieces = Deque<(id: Int64, piece: Piece)>()
    private var byteCount = 0

    init(_ run: PieceRun) {
        self.run = run
    }

    mutating func append(_ piece: Piece, id: Int64) {
        if let head = piece.head { self.head = head }
        pieces.append((id, piece))
        byteCount += piece.bytes.count
        while byteCount > Self.limit, pieces.count > 1, let oldest = pieces.popFirst() {
            byteCount -= oldest.piece.bytes.count
        }
    }

    /// Nil where the bytes from `byte` on are further back.
    func stretch(from byte: Int) -> Stretch? {
        guard let first = pieces.first?.piece.start, let last = pieces.last, byte >= first else { return nil }
        var stretch = Stretch(lastPiece: last.id)
        for (_, piece) in pieces where piece.start + piece.bytes.count > byte {
            stretch.bytes += piece.bytes.dropFirst(max(0, byte - piece.start))
        }
        return stretch
    }
}
