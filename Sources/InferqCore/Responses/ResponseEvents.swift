/// The events of a response in the background, made of what a model server has streamed over all attempts.
///
/// What it gives depends on the bytes alone, not on how they were cut or when they were read: anyone who reads the same
/// stored bytes gets the same events with the same numbers. The API's own rules for them:
/// https://platform.openai.com/docs/api-reference/responses-streaming
///
/// Calls come in this order: ``begin()``, then for each attempt ``read(_:)`` with all its bytes and ``endAttempt()``, and
/// once the job has ended ``end(_:)`` in place of the last of these.
package struct ResponseEvents: Sendable {
    /// One event of the stream.
    package struct Frame: Sendable, Equatable {
        /// Its `sequence_number`: from 0, without gaps.
        package let number: Int
        /// `event:`, `data:` and the blank line.
        package let bytes: [UInt8]
    }

    /// How the job has ended.
    package enum End: Sendable {
        /// With what was read last.
        case completed
        /// With an answer that is not a stream.
        case answered([UInt8])
        /// For people to read.
        case failed(message: String)
        case cancelled
    }

    private let facts: ResponseFacts
    private var number = 0
    private var parser = Self.newParser
    private var items = ResponseItems()
    private var hasSaidInProgress = false
    /// The event with which the attempt says that it is whole. It is shown once the job has ended: until then the
    /// attempt may be made again.
    private var last: (type: ResponseEventType, response: JSONObject)?
    /// The response as the newest event has shown it.
    private var shown = JSONObject()

    private static var newParser: EventParser { EventParser(limit: .max) }

    package init(_ facts: ResponseFacts) {
        self.facts = facts
    }

    // MARK: Events

    package mutating func begin() -> [Frame] {
        ["response.created", "response.queued"].map { type in
            frame(type, facts.response("queued"))
        }
    }

    /// - Parameter bytes: what follows those of the call before in the answer of the attempt, cut anywhere.
    package mutating func read(_ bytes: [UInt8]) -> [Frame] {
        // Without a limit of its own: the answer has one.
        ((try? parser.push(bytes)) ?? []).compactMap { frame(for: $0) }
    }

    /// The attempt is over, and the job goes on or has not been found to have ended.
    package mutating func endAttempt() -> [Frame] {
        parser = Self.newParser
        last = nil
        return items.endAttempt().map { place, object in
            var event = JSONObject()
            event["type"] = Array("\"response.output_item.done\"".utf8)
            event.set("output_index", place)
            event.set("item", object)
            return frame("response.output_item.done", event)
        }
    }

    package mutating func end(_ end: End) -> [Frame] {
        switch end {
        case .completed:
            // A last event counts although the blank line is missing behind it.
            var frames = read(Array("\n\n".utf8))
            guard let last else { return frames + fail("The model server's stream has no final event.") }
            frames.append(frame(last.type.name, facts.own(last.response, last.type.status)))
            return frames
        case .answered(let bytes):
            guard let response = JSONObject(bytes), response.text("object") == "response" else {
                return fail("The model server's answer is not a response.")
            }
            return endAttempt() + frames(of: response)
        case .failed(let message): return fail(message)
        case .cancelled:
            return endAttempt() + [frame("response.incomplete", facts.response("cancelled", output: items.shown))]
        }
    }

    private mutating func fail(_ message: String) -> [Frame] {
        let closed = endAttempt()
        var error = JSONObject()
        // Of the API's closed list, the one for whatever is not the client's doing.
        error.set("code", "server_error")
        error.set("message", message)
        var response = facts.response("failed", output: items.shown)
        response.set("error", error)
        return closed + [frame("response.failed", response)]
    }

    /// Of an answer that came whole.
    private mutating func frames(of response: JSONObject) -> [Frame] {
        var frames: [Frame] = []
        for item in response.objects("output") {
            for name in ["response.output_item.added", "response.output_item.done"] {
                var event = JSONObject()
                event.set("type", name)
                event.set("item", item)
                if let type = ResponseEventType(name) { items.note(type, &event) }
                frames.append(frame(name, event))
            }
        }
        let status = response.text("status")
        let type = status == "incomplete" || status == "failed" ? "response.\(status ?? "")" : "response.completed"
        frames.append(frame(type, facts.own(response, "completed")))
        return frames
    }

    /// Nil for an event that is not shown, or not yet.
    private mutating func frame(for read: EventParser.Event) -> Frame? {
        guard last == nil, var event = JSONObject(Array(read.data.utf8)),
            let type = ResponseEventType(event.text("type") ?? read.type)
        else { return nil }
        if type.isBeginning { return nil }
        if type.isEnd {
            last = (type, event.object("response") ?? JSONObject())
            return nil
        }
        if type.isInProgress {
            guard !hasSaidInProgress else { return nil }
            hasSaidInProgress = true
        }
        event.set("type", type.name)
        if let response = event.object("response") { event.set("response", facts.own(response, type.status)) }
        items.note(type, &event)
        return frame(type.name, event)
    }

    private mutating func frame(_ type: String, _ content: JSONObject) -> Frame {
        var event = content
        if content.text("object") == "response" {
            shown = content
            event = JSONObject()
            event.set("type", type)
            event.set("response", content)
        }
        event.set("sequence_number", number)
        defer { number += 1 }
        return Frame(number: number, bytes: Array("event: \(type)\ndata: ".utf8) + event.singleLine + [0x0A, 0x0A])
    }

    // MARK: The response itself

    /// The response as it ended; after ``end(_:)``.
    package var ended: [UInt8] { shown.bytes }

    /// The response at this moment, of a job that has not ended.
    package func response(isRunning: Bool) -> [UInt8] {
        facts.response(isRunning ? "in_progress" : "queued", output: items.shown).bytes
    }
}

extension JSONObject {
    /// Without the line feeds that may stand between values: the data of an event is one line.
    fileprivate var singleLine: [UInt8] {
        let text = bytes
        guard text.contains(where: { $0 == 0x0A || $0 == 0x0D }) else { return text }
        var line: [UInt8] = []
        JSONScanner.appendCompactASCII(text, text.indices, to: &line)
        return line
    }
}
