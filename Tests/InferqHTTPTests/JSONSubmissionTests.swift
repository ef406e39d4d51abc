import HTTPTypes
import InferqCore
import InferqQueue
import InferqStore
import Testing

@testable import InferqHTTP

/// What the model server gets is byte for byte what was sent.
struct JSONSubmissionTests {
    private func submission(_ text: String) throws -> JSONSubmission {
        try JSONSubmission(Array(text.utf8))
    }

    @Test(arguments: [
        (#"{"model":"m","input": { "a" : 1e400 } }"#, #"{ "a" : 1e400 }"#),
        (#"{"model":"m", "a":1}"#, #"{"model":"m", "a":1}"#),
        (#"{"model":"m", "job":{} , "a":1}"#, #"{"model":"m",  "a":1}"#),
        (#"{"job":{"priority":1},"model":"m"}"#, #"{"model":"m"}"#),
        (#"{"model":"m" , "job":{} }"#, #"{"model":"m"  }"#),
        (#"{"model_display_name":"m","model":"n","input":null}"#, "null"),
    ])
    func theInputIsCutOutAsItCame(_ body: String, _ input: String) throws {
        #expect(String(decoding: try submission(body).input, as: UTF8.self) == input)
    }

    @Test func modelWinsOverItsOtherName() throws {
        #expect(try submission(#"{"model_display_name":"a","model":"b"}"#).model == "b")
        #expect(try submission(#"{"model_display_name":"a"}"#).model == "a")
    }

    @Test(arguments: [
        (#"{"a":1}"#, "model"), (#"{"model":1}"#, "model"), (#"{"model":""}"#, "model"), ("[]", "object"),
        (#"{"model":"m","model":"m"}"#, "twice"), (#"{"model":"m","input":1,"input":2}"#, "twice"),
        (#"{"model":"m","job":1}"#, "job"), (#"{"model":"m","job":{"color":1}}"#, "job.color"),
        (#"{"model":"m","job":{"priority":101}}"#, "job.priority"),
        (#"{"model":"m","job":{"priority":1,"priority":2}}"#, "twice"),
        (#"{"model":"m","job":{"run_at":"tomorrow"}}"#, "job.run_at"),
        (#"{"model":"m","job":{"delay":"1s","run_at":"2026-11-23T00:00:00Z"}}"#, "combined"),
        (#"{"model":"m","job":{"timeout":0}}"#, "job.timeout"),
        (#"{"model":"m","job":{"key":"a b"}}"#, "job.key"), (#"{"model":"m","job":{"metadata":[]}}"#, "job.metadata"),
        (#"{"model":"m","#, "line 1"),
    ])
    func aMistakeIsNamedWithItsPlace(_ body: String, _ words: String) {
        let error = #expect(throws: APIError.self) { try submission(body) }
        #expect(error?.status.code == 400)
        #expect(error?.detail.contains(words) == true, "\(error?.detail ?? "")")
    }

    @Test(arguments: [
        (#"{"model_display_name":null,"model_id":"7","input":null}"#, "seven"),
        (#"{"model":null,"model_display_name":"a","model_id":"7","job":null}"#, "a"),
        (#"{"model":null,"model":"b","model_id":null}"#, "b"),
    ])
    func aClientThatSendsNullsNamesItsModelByItsId(_ body: String, _ model: String) throws {
        let parsed = try JSONSubmission(Array(body.utf8)) { $0 == "7" ? "seven" : $0 }
        #expect(parsed.model == model)
        #expect(String(decoding: parsed.input, as: UTF8.self) == body, "byte for byte")
    }

    @Test(arguments: [
        (#"{"model_id":null}"#, "model"), (#"{"model_id":7}"#, "model_id"),
        (#"{"model_id":"a","model_id":"a"}"#, "twice"),
    ])
    func aModelIdThatIsNoneIsAMistake(_ body: String, _ words: String) {
        let error = #expect(throws: APIError.self) { try JSONSubmission(Array(body.utf8)) { $0 } }
        #expect(error?.detail.contains(words) == true, "\(error?.detail ?? "")")
    }

    @Test func optionsAreRead() throws {
        let body = #"""
            {"model":"m","job":{"priority":-5,"delay":"90s","expires_in":3600,"timeout":"250ms","max_attempts":7,
            "metadata":{"a": 1},"key":"k"}}
            """#
        let options = try submission(body).options("00-trace")
        #expect(options.kept.priority == -5)
        #expect(options.start == .after(.seconds(90)))
        #expect(options.expiresIn == .seconds(3600))
        #expect(options.kept.timeout == .milliseconds(250))
        #expect(options.maxAttempts == 7)
        #expect(String(decoding: options.kept.metadata, as: UTF8.self) == #"{"a": 1}"#)
        #expect(try submission(body).job.key(orHeader: nil) == "k")
        #expect(throws: APIError.self) { try submission(body).job.key(orHeader: "other") }
    }
}
