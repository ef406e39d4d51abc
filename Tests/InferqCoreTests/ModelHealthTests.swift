import Testing

@testable import InferqCore

struct ModelHealthTests {
    private let health = ModelHealth()
    private let answered = Outcome.answered(Outcome.Answer(payload: .json("1"), layers: .none))

    private func failed(_ code: Failure.Code) -> Outcome {
        .failed(Failure(code, "it broke", isRetryable: true), retryAfter: nil)
    }

    @Test
    func aStartHasNoOpinion() {
        #expect(health.verdict(on: "a") == ModelHealth.Verdict(isUp: true, lastError: nil))
    }

    @Test
    func onlyAServerThatCannotBeReachedIsDownByItsCalls() {
        #expect(health.note(failed(.httpError), of: "a") == nil)
        #expect(health.verdict(on: "a") == ModelHealth.Verdict(isUp: true, lastError: "it broke"))
        #expect(health.note(failed(.connectFailed), of: "a") == .wentDown)
        #expect(health.note(failed(.connectFailed), of: "a") == nil)
        #expect(health.note(answered, of: "a") == .cameUp)
        #expect(health.verdict(on: "a") == ModelHealth.Verdict())
    }

    @Test
    func theProbeDecidesWhileThereIsOne() {
        #expect(health.note(probe: "no", of: "a") == .wentDown)
        #expect(health.note(answered, of: "a") == nil)
        #expect(health.verdict(on: "a") == ModelHealth.Verdict(isUp: false, lastError: "no"))
        #expect(health.note(probe: nil, of: "a") == .cameUp)
        #expect(health.note(failed(.connectFailed), of: "a") == nil)
        #expect(health.verdict(on: "a").isUp)
        health.forgetProbe(of: "a")
        #expect(!health.verdict(on: "a").isUp)
    }

    @Test
    func oneModelSaysNothingOfAnother() {
        _ = health.note(failed(.connectFailed), of: "a")
        #expect(health.verdict(on: "b").isUp)
    }
}
