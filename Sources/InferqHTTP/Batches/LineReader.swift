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

    /// The next line that is not blank; nil at the end.
    ///
    /// - Parameter limit: bytes of a line.
    /// - Throws: ``BatchProblem`` for a longer one, or ``StoreError``.
    mutating func next(upTo limit: Int = .max) async throws -> LineCutter.Line? {
        while true {
            if let line = lines.popFirst() {
                guard line.text.count <= limit else { throw Self.tooLong(line.number, limit) }
                return line
            }
            guard cutter.heldCount <= limit else { throw Self.tooLong(cutter.number + 1, limit) }
            if isOver { return nil }
            let piece = try await input.read(from: offset, count: Self.pieceLength)
            offset += piece.count
            isOver = piece.isEmpty
            lines =
                isOver ? [cutter.finish()].compactMap { $0 }[...] : cutter.read(piece)[...]
        }
    }
    private static func tooLong(_ line: Int, _ limit: Int) -> BatchProblem {
        BatchProblem("line_too_long", "The line has more than \(limit) bytes (max_body).", line: line)
    }
}
