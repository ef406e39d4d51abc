import InferqCore
import InferqStore

/// Reads the lines of a file one after the other, from any of them on. No more of the file is in memory than a piece of it
/// and a line.
struct LineReader: Sendable {
    private let input: UploadBytes
    private var cutter: LineCutter
    private var offset: Int
    private var lines: ArraySlice<LineCutter.Line> = []
    private var isOver = false

    private static let pieceLength = 64 << 10

    /// - Parameters:
    ///   - line: how many lines lie before.
    ///   - place: how many bytes.
    init(_ input: UploadBytes, after line: Int = 0, place: Int = 0) {
        self.input = input
        cutter = LineCutter(after: line, place: place)
        offset = place
    }

    /// Bytes of a line whose end was not found yet.
    var heldCount: Int { cutter.heldCount }

    /// The next line that is not blank; nil at the end.
    mutating func next() async throws -> LineCutter.Line? {
        while true {
            if let line = lines.popFirst() { return line }
            if isOver { return nil }
            let piece = try await input.read(from: offset, count: Self.pieceLength)
            offset += piece.count
            isOver = piece.isEmpty
            lines = isOver ? [cutter.finish()].compactMap { $0 }[...] : cutter.read(piece)[...]
        }
    }
}
