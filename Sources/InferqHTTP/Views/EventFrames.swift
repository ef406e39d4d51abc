package import InferqCore
import InferqStore
import NIOCore

/// A page of a job's events as the frames of a stream. Listeners at the same place share one.
package final class EventFrames: Sendable {
    /// One frame an event; empty when there is none.
    let bytes: ByteBuffer
    let count: Int
    /// The id of the last event; nil without events.
    let last: Int64?
    /// Whether the job had newer events than the last of these when they were read.
    let hasMore: Bool
    /// Whether the final event is among them.
    let isAtEnd: Bool

    /// - Parameters:
    ///   - output: what the final event shows of the job's output.
    ///   - isFirst: the first frame of a stream also says after how many milliseconds to come back.
    package convenience init(_ history: JobHistory, output: [UInt8]?, isFirst: Bool) {
        self.init(history, isFirst: isFirst) { Wire.event($0, of: history.job, output: output) }
    }

    /// - Parameter encode: the JSON of an event, on one line.
    init(_ history: JobHistory, isFirst: Bool, _ encode: (JobEvent) -> [UInt8]) {
        var buffer = ByteBuffer()
        for (index, event) in history.events.enumerated() {
            buffer.writeString("id: \(event.id)\n")
            if isFirst, index == 0 { buffer.writeString("retry: 2000\n") }
            buffer.writeString("data: ")
            buffer.writeBytes(encode(event))
            buffer.writeString("\n\n")
        }
        bytes = buffer
        count = history.events.count
        last = history.last
        hasMore = history.hasMore
        isAtEnd = history.isAtEnd
    }
}
