import TestSupport
import Testing

@testable import InferqCore

struct CallTests {
    @Test
    func aCallIsReadAsItWasWritten() {
        let call = Job.call().options.call
        #expect(call != nil && call.flatMap { Call(json: $0.json) } == call)
    }

    @Test
    func theHeadOfAnAnswerIsReadAsItWasWritten() {
        for status in [100, 200, 404, 599, 999] {
            let fields = [HeaderField("Set-Cookie", "a=1"), HeaderField("Set-Cookie", "b")]
            let head = AnswerHead(status: status, headers: fields)
            #expect(AnswerHead(json: head.json) == head)
        }
    }

    @Test(arguments: [
        "", "{}", "[]", "nonsense", #"{"status":99,"headers":[]}"#, #"{"status":200,"headers":["a"]}"#,
        #"{"method":"POST","target":"/","dialect":"latin","headers":[]}"#, #"{"method":1,"target":"/"}"#,
    ])
    func whatIsNeitherIsNeither(_ text: String) {
        #expect(Call(json: Array(text.utf8)) == nil)
        #expect(AnswerHead(json: Array(text.utf8)) == nil)
    }

    @Test
    func theAnswerOfAFailedCallIsKeptOnceItHasEnded() throws {
        var job = Job.call()
        let failure = Outcome.failed(
            Failure(.httpError, "500", isRetryable: true), retryAfter: nil,
            answer: Outcome.Answer(payload: .answer(500, "1"), layers: .none)
        )
        for attempt in 1...3 {
            try job.becomeDueAgain()
            _ = try job.claim(now: .at(Job.submitted))
            _ = try job.finish(job.lease, with: failure, retry: .sample, jitter: 0, now: .at(Job.submitted))
            #expect((job.output != nil) == (attempt == 3))
        }
        #expect(job.status == .failed && job.output?.head?.status == 500)
    }
}

extension Job {
    fileprivate mutating func becomeDueAgain() throws {
        if !isDue { try becomeDue() }
    }
}
