import HTTPTypes
import InferqCore
import NIOCore

/// `GET /v1/async/notify/{event_id}`: the events of one job as Server-Sent Events (WHATWG HTML, section 9.2).
///
/// A listener is a cursor: it reads rows after the last id that it has seen, and waits for its bell when there are none.
struct NotifyRoute: Sendable {
    private let gateway: Gateway
    private let view: RecordView
    /// Of this view alone.
    private let sharedFrames: SharedFrames

    init(gateway: Gateway, view: RecordView = .native, sharedFrames: SharedFrames? = nil) {
        self.gateway = gateway
        self.view = view
        self.sharedFrames = sharedFrames ?? gateway.sharedFrames
    }

    /// Events that are read and written at a time, and the bytes of reports after which there are no more of them: so
    /// much waits for a listener that does not read, beside the kernel's buffer.
    private static let page = 64
    private static let pageBytes = 16 << 10

    @Sendable func listen(_ request: Request, _ context: GatewayContext) async throws -> Response {
        let eventID = try context.uuid("event_id")
        let query = try Query(request.query)
        try query.allowOnly(Query.lastEventIDNames.union(["output", "ticket"]))
        let withOutput = try query.flag("output") && view == .native
        try request.checkAccepts("text/event-stream")
        let course = try await gateway.course(named: eventID, for: context.caller)
        let cursor = Self.cursor(try request.headers[.lastEventID] ?? query.lastEventID(), of: course)
        guard cursor < course.lastEvent || !course.hasEnded else { return Response(status: .noContent) }
        return EventStream.response(gateway, context) { stream in
            try await Listener(
                gateway: gateway, view: view, sharedFrames: withOutput ? gateway.sharedOutput : sharedFrames,
                key: course.key, stream: stream, withOutput: withOutput
            ).send(after: cursor)
        }
    }

    /// The id to go on after; 0 for one that is not a number or is past this job's newest event.
    private static func cursor(_ text: String?, of course: JobCourse) -> Int64 {
        guard let text, let id = Int64(text), id >= 0, id <= course.lastEvent else { return 0 }
        return id
    }

    /// One open stream.
    private struct Listener {
        let gateway: Gateway
        let view: RecordView
        let sharedFrames: SharedFrames
        let key: JobKey
        let stream: EventStream
        /// Whether it hears of the answer's pieces, too.
        let withOutput: Bool

        func send(after cursor: Int64) async throws -> StreamEnd {
            gateway.queue.hub.listen(to: key, stream.bell, hearsOutput: withOutput)
            sharedFrames.join(key)
            defer {
                sharedFrames.leave(key)
                gateway.queue.hub.leave(key, stream.bell)
            }
            var place = SharedFrames.Place(key: key, cursor: cursor, isFirst: true)
            while true {
                switch try await step(&place) {
                case .ended(let end): return end
                case .hasMore: continue
                case .mustWait: if let end = try await stream.wait() { return end }
                }
            }
        }

        private enum Step {
            case ended(StreamEnd)
            case hasMore
            case mustWait
        }

        /// Writes what there is after the listener's place. What was written is not kept while the stream waits.
        private func step(_ place: inout SharedFrames.Place) async throws -> Step {
            guard let frames = try await frames(at: place) else { return .ended(.store) }
            guard let last = frames.last else { return .mustWait }
            try await stream.write(frames.bytes, events: frames.count, isLast: frames.isAtEnd)
            if frames.isAtEnd { return .ended(.end) }
            place = SharedFrames.Place(key: key, cursor: last, isFirst: false)
            return frames.hasMore ? .hasMore : .mustWait
        }

        private func history(after cursor: Int64) async throws -> JobHistory? {
            withOutput
                ? try await gateway.store.historyWithOutput(key, after: cursor, limit: page, byteLimit: pageBytes)
                : try await gateway.store.history(key, after: cursor, limit: page, byteLimit: pageBytes)
        }

        private func frames(at place: SharedFrames.Place) async throws -> EventFrames? {
            try await sharedFrames.page(at: place) {
                guard let history = try await history(after: place.cursor) else { return nil }
                switch view {
                case .native:
                    let output = try await gateway.store.output(shownBy: history)
                    return EventFrames(history, output: output, isFirst: place.isFirst)
                case .reference:
                    let encode = try await gateway.store.referenceEncoder(of: history)
                    return EventFrames(history, isFirst: place.isFirst, encode)
                }
            }
        }
    }
}
