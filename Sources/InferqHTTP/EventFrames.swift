import InferqCore
import NIOCore

/// Events as the frames of a stream.
enum EventFrames {
    /// One frame an event; the first one also says after how many milliseconds to come back.
    static func bytes(_ history: JobHistory, output: [UInt8]?, isFirst: Bool) -> ByteBuffer {
        var buffer = ByteBuffer()
        for (index, event) in history.events.enumerated() {
            buffer.writeString("id: \(event.id)\n")
            if isFirst, index == 0 { buffer.writeString("retry: 2000\n") }
            buffer.writeString("data: ")
            buffer.writeBytes(Wire.event(event, of: history.job, output: output))
            buffer.writeString("\n\n")
        }
        return buffer
    }
}

extension JobStore {
    /// The output that the final event of a history shows; nil when it is not there, or shows none.
    func output(shownBy history: JobHistory) async throws -> [UInt8]? {
        guard history.isAtEnd, let output = history.job.output else { return nil }
        return try await shown(output)
    }

    /// The bytes of an output; nil when it is too large to be shown in an event.
    func shown(_ output: Payload) async throws -> [UInt8]? {
        output.byteCount <= Wire.outputLimit ? try await bytes(of: output) : nil
    }
}
