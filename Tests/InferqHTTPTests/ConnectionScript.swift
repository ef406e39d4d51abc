import NIOCore
import NIOHTTP1
import Testing

@testable import InferqHTTP

/// What happens to a connection, in order, and what its state must ask for.
///
/// An effect is told with the second at which it came, unless that is the first one: `"close @75"`. Parts that are passed
/// on and written as they are have no effect.
struct ConnectionScript: Sendable, CustomTestStringConvertible {
    let rule: String
    let settings: HTTPSettings
    let events: [Event]
    let effects: [String]

    init(_ rule: String, settings: HTTPSettings = HTTPSettings(), _ events: [Event], _ effects: [String]) {
        self.rule = rule
        self.settings = settings
        self.events = events
        self.effects = effects
    }

    var testDescription: String { rule }

    func check(sourceLocation: SourceLocation = #_sourceLocation) {
        var connection = ScriptedConnection(settings)
        for event in events { connection.happens(event) }
        #expect(connection.effects == effects, "\(rule)", sourceLocation: sourceLocation)
    }
}

enum Event: Sendable {
    /// Bytes reach the decoder.
    case bytes(String)
    /// So many bytes that frame a body.
    case framing(Int)
    case head(HTTPMethod = .POST, HTTPVersion = .http1_1, [String: String] = [:])
    /// So many bytes of a body.
    case body(Int)
    case end
    /// A whole request without a body.
    case request(HTTPMethod = .GET, HTTPVersion = .http1_1, [String: String] = [:])
    case unreadable(HTTPParserError)
    case inputClosed
    /// An answer's head with a status below 200.
    case invitation
    case answerHead
    case answerEnd
    /// A whole answer at once, which may end the connection.
    case answer(isLast: Bool = false)
    /// The kernel takes the end of an answer.
    case taken
    case quiesce
    case seconds(Double)

    static let get = Event.request()
    /// Which is not to be followed by another one.
    static let last = Event.request(.GET, .http1_1, ["Connection": "close"])
}

/// A connection of which only the state is there: does with it what ``ConnectionGuard`` does.
struct ScriptedConnection {
    private(set) var effects: [String] = []
    private(set) var isOpen = true
    private var state: ConnectionState
    private var now = Self.start
    private var nextTick: NIODeadline
    /// What the decoder is reading.
    private var arriving = ByteBuffer()

    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    init(_ settings: HTTPSettings = HTTPSettings()) {
        state = ConnectionState(settings: settings, now: now)
        state.opened(now: now)
        nextTick = state.nextTick(after: now)
    }

    mutating func happens(_ event: Event) {
        guard isOpen else { return }
        defer { if state.isArriving { nextTick = min(nextTick, state.nextTick(after: now)) } }
        switch event {
        case .bytes(let text):
            arriving = ByteBuffer(string: text)
            perform(state.arrived(arriving, now: now))
        case .framing(let count): perform(state.arrived(ByteBuffer(repeating: 0, count: count), now: now))
        case .head(let method, let version, let fields):
            var headers = HTTPHeaders([("Host", "localhost")])
            for (name, value) in fields { headers.add(name: name, value: value) }
            comes(.head(HTTPRequestHead(version: version, method: method, uri: "/", headers: headers)))
        case .body(let count):
            let bytes = ByteBuffer(repeating: 0, count: count)
            perform(state.arrived(bytes, now: now))
            comes(.body(bytes))
        case .end: comes(.end(nil))
        case .request(let method, let version, let fields):
            happens(.bytes("\(method) / "))
            happens(.head(method, version, fields))
            happens(.end)
        case .unreadable(let error):
            switch state.unreadable(error, in: arriving, now: now) {
            case .refuse(let refusal):
                refuse(refusal)
                note("break body")
            case .pass: note("break body")
            case .drop: note("drop error")
            }
        case .inputClosed: perform(state.inputClosed())
        case .invitation: goes(AnswerPart(head: .invitation))
        case .answerHead: goes(AnswerPart(head: ResponseHead(status: .ok)))
        case .answerEnd: goes(AnswerPart(isEnd: true))
        case .answer(let isLast):
            let head = ResponseHead(status: .ok, length: 2, isLast: isLast)
            goes(AnswerPart(head: head, body: ByteBuffer(string: "{}"), isEnd: true))
        case .taken: perform(state.taken(now: now))
        case .quiesce:
            state.quiesce(now: now)
            nextTick = state.nextTick(after: now)
        case .seconds(let seconds): pass(.nanoseconds(Int64(seconds * 1_000_000_000)))
        }
    }

    private mutating func comes(_ part: HTTPServerRequestPart) {
        switch state.request(part, now: now) {
        case .pass: break
        case .passHead(let head): note("pass \(head.headers.map { $0.name })")
        case .passEndAndRenewDecoder: note("renew decoder")
        case .refuse(let error): refuse(error)
        case .drop: note("drop")
        }
    }

    private mutating func goes(_ part: AnswerPart) {
        var part = part
        let before = part.head
        let action = state.answer(&part, now: now)
        if let head = part.head, let before {
            if head.isHTTP10 { note("HTTP/1.0") }
            if head.isLast, !before.isLast { note("connection: close") }
        }
        switch action {
        case .write, .writeEnd(isWritten: true): break
        case .writeEnd(isWritten: false): note("skip end")
        case .drop: note("drop")
        }
    }

    private mutating func perform(_ action: ConnectionState.Action) {
        switch action {
        case .none: break
        case .close: close()
        case .linger:
            note("linger")
            nextTick = state.nextTick(after: now)
        }
    }

    private mutating func refuse(_ error: APIError) {
        note("refuse \(error.code.rawValue)")
        nextTick = state.nextTick(after: now)
    }

    private mutating func close() {
        note("close")
        isOpen = false
    }

    /// Time passes, and the timer fires when it is due.
    private mutating func pass(_ time: TimeAmount) {
        let end = now + time
        while isOpen, nextTick <= end {
            now = nextTick
            switch state.tick(now: now) {
            case .wait: nextTick = state.nextTick(after: now)
            case .close: close()
            case .refuse(let error): refuse(error)
            case .refuseBody(let error):
                refuse(error)
                note("break body")
            }
        }
        now = max(now, end)
    }

    private mutating func note(_ effect: String) {
        let seconds = Double((now - Self.start).nanoseconds) / 1_000_000_000
        effects.append(seconds == 0 ? effect : "\(effect) @\(seconds)".replacing(".0", with: ""))
    }
}
