import InferqCore
import NIOCore

/// Events as the frames of a stream.
enum EventFrames {
    /// The output that the final one of `events` shows; nil when there is none, or it is too large to be shown.
    static func output(of job: Job, for events: [JobEvent], _ store: JobStore) async throws -> [UInt8]? {
        guard events.last?.isLast == true, let output = job.output, output.byteCount <= Wire.outputLimit else {
            return nil
        }
        return try await store.bytes(of: output)
    }

    /// One frame an event; the first one also says after how many milliseconds to come back.
    static func bytes(_ events: [JobEvent], of job: Job, output: [UInt8]?, isFirst: Bool) -> ByteBuffer {
        var buffer = ByteBuffer()
        for (index, event) in events.enumerated() {
            buffer.writeString("id: \(event.id)\n")
            if isFirst, index == 0 { buffer.writeString("retry: 2000\n") }
            buffer.writeString("data: ")
            buffer.writeBytes(Wire.event(event, of: job, output: output))
            buffer.writeString("\n\n")
        }
        return buffer
    }
}
