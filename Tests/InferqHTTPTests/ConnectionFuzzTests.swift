import NIOCore
import NIOHTTP1
import Testing

@testable import InferqHTTP

/// What holds of a connection whatever happens to it.
struct ConnectionFuzzTests {
    /// Sends events in an order in which a decoder and routes could.
    private struct Client {
        private(set) var connection = ScriptedConnection()
        private(set) var events: [Event] = []
        private var isInBody = false
        private var hasBegunAnswer = false
        private var unanswered = 0
        private var untaken = 0

        private static let fields: [[String: String]] = [
            [:], [:], ["Connection": "close"], ["Connection": "Upgrade", "Upgrade": "h2c"], ["Expect": "100-continue"],
            ["Host": "other"],
        ]

        private mutating func send(_ event: Event) {
            events.append(event)
            connection.happens(event)
        }

        /// Whether the newest effects say that a part was taken.
        private mutating func isTaken(_ event: Event) -> Bool {
            let before = connection.effects.count
            send(event)
            return !connection.effects[before...].contains { $0.hasPrefix("drop") || $0.hasPrefix("refuse") }
        }

        mutating func step() {
            switch Int.random(in: 0..<14) {
            case 0, 1, 2:
                if isInBody {
                    send(.end)
                    isInBody = false
                } else if isTaken(.head(.POST, .http1_1, Self.fields.randomElement() ?? [:])) {
                    isInBody = true
                    unanswered += 1
                }
            case 3: send(.body(Int.random(in: 0...5000)))
            case 4: send(.bytes(["G", "GET /", "\r\n", "\u{16}"].randomElement() ?? ""))
            case 5, 6, 7: answer()
            case 8, 9: take()
            case 10: send(.seconds(Double(Int.random(in: 0...40)) / 2))
            case 11: if unanswered > 0, !hasBegunAnswer { send(.invitation) }
            case 12 where Int.random(in: 0..<5) == 0: send(.quiesce)
            case 13 where Int.random(in: 0..<3) == 0:
                send([.unreadable(.invalidChunkSize), .inputClosed].randomElement() ?? .end)
            default: break
            }
        }

        private mutating func answer() {
            guard unanswered > 0 else { return }
            if hasBegunAnswer {
                if isTaken(.answerEnd) { untaken += 1 }
                unanswered -= 1
            } else {
                send(.answerHead)
            }
            hasBegunAnswer.toggle()
        }

        private mutating func take() {
            guard untaken > 0 else { return }
            send(.taken)
            untaken -= 1
        }

        /// Answers all that is left, and sends nothing more.
        mutating func finish() {
            while unanswered > 0 { answer() }
            while untaken > 0 { take() }
            send(.seconds(600))
        }
    }

    @Test
    func everyConnectionEndsAndIsRefusedOnceAtMost() {
        for _ in 0..<5000 {
            var client = Client()
            for _ in 0..<Int.random(in: 1...40) { client.step() }
            client.finish()
            let effects = client.connection.effects
            let refusals = effects.filter { $0.hasPrefix("refuse") }
            let isRight = !client.connection.isOpen && refusals.count <= 1
            #expect(isRight, "\(client.events): \(effects)")
            guard isRight, let refusal = effects.firstIndex(where: { $0.hasPrefix("refuse") }) else { continue }
            let later = effects[(refusal + 1)...].filter {
                !$0.hasPrefix("drop") && !$0.hasPrefix("break body") && !$0.hasPrefix("close")
            }
            #expect(later.isEmpty, "\(client.events): \(effects)")
        }
    }
}
