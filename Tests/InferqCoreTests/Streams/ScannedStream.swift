import InferqCore
import TestSupport

/// Everything that a scanner says.
struct ScannedStream: Equatable {
    var byteCount: Int
    var frameEnd: Int
    var progress: Int
    var hasEndMark: Bool
    var error: String?
    var beganWithError: Bool
    var mayBeginWithError: Bool
}

extension StreamScanner {
    var all: ScannedStream {
        ScannedStream(
            byteCount: byteCount, frameEnd: frameEnd, progress: progress, hasEndMark: hasEndMark, error: error,
            beganWithError: beganWithError, mayBeginWithError: mayBeginWithError
        )
    }

    init(_ sample: StreamSample) {
        self.init(framing: sample.framing, mark: sample.mark, findsErrors: true)
    }

    mutating func read(_ bytes: some Sequence<UInt8>) {
        Array(bytes).withUnsafeBytes { read($0) }
    }

    mutating func read(_ text: String) {
        read(text.utf8)
    }
}

/// Where frames end and what is progress, found line by line in everything that has come.
struct FramesByLine {
    private(set) var frameEnd = 0
    private(set) var progress = 0

    init(_ bytes: ArraySlice<UInt8>, _ framing: StreamFraming) {
        var start = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
        // What has come of a byte order mark is no line yet.
        if bytes.count < 3, [0xEF, 0xBB, 0xBF].starts(with: bytes) { start = bytes.count }
        var isInFrame = false
        while start < bytes.count {
            let rest = bytes[start...]
            let end = rest.firstIndex { $0 == 0x0A || framing == .events && $0 == 0x0D } ?? bytes.count
            let line = bytes[start..<end]
            let isBlank =
                framing == .lines ? line.allSatisfy { $0 == 0x20 || $0 == 0x0D || $0 == 0x09 } : line.isEmpty
            let isComment = framing == .events && line.first == UInt8(ascii: ":")
            let isCRLF = end + 1 < bytes.count && bytes[end] == 0x0D && bytes[end + 1] == 0x0A
            let next = min(bytes.count, isCRLF ? end + 2 : end + 1)
            if !isBlank, !isComment {
                progress = next
                isInFrame = framing == .events
            }
            guard end < bytes.count else { break }
            if isBlank { isInFrame = false }
            if !isInFrame { frameEnd = next }
            start = next
        }
    }
}
