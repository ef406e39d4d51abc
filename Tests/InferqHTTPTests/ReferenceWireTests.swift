import Foundation
import InferqCore
import Testing

@testable import InferqHTTP

/// Records and events for the reference gateway's own clients.
struct ReferenceWireTests {
    private static let request = #"""
        {"model_display_name":"floods","model_id":null,"location":"Nairobi", "temporal_domain":["2024-01-01"],
        "status":"mine","id":"mine","geoserver_layers":{"mine":1},"created_by":"me","location":"Mombasa"}
        """#
    private static let output = #"{"predicted_layers":[{"uri":"geofm:water"}],"é":1}"#

    private let now = Moment(
        wall: Timestamp(milliseconds: 1_800_000_000_000), elapsed: Elapsed(milliseconds: 0),
        certain: Elapsed(milliseconds: 0)
    )

    private func payload(_ text: String) -> Payload {
        Payload(
            content: .inline(Array(text.utf8)), byteCount: text.utf8.count, contentType: "application/json", form: .json
        )
    }

    private func pending(_ request: String = request) -> Job {
        let key = JobKey.first(at: now.wall)
        return Job(
            id: UUIDv7(key: key, tag: 7, random: 1), eventID: UUIDv7(key: key, tag: 7, random: 2), model: "floods",
            options: Job.Options(), maxAttempts: 1, input: payload(request), start: .at(now.wall), now: now
        )
    }

    @Test
    func aRecordTellsNoClientAndLeavesTheNameToTheRequest() throws {
        var options = Job.Options()
        options.client = "erp"
        let key = JobKey.first(at: now.wall)
        for (request, client) in [(#"{"client":"mine"}"#, "mine"), ("{}", nil)] {
            let job = Job(
                id: UUIDv7(key: key, tag: 7, random: 1), eventID: UUIDv7(key: key, tag: 7, random: 2), model: "floods",
                options: options, maxAttempts: 1, input: payload(request), start: .at(now.wall), now: now)
            #expect(try record(job, request: request)["client"] as? String == client)
            let native = try object(Wire.record(job, bodies: Wire.Bodies(), ahead: nil))
            #expect(native["client"] as? String == "erp")
        }
        let native = try object(Wire.record(pending(), bodies: Wire.Bodies(), ahead: nil))
        #expect(native["client"] is NSNull)
    }

    /// A job that has ended, and its last event.
    private func ended(_ outcome: Outcome, request: String = request) throws -> (Job, JobEvent) {
        var job = pending(request)
        _ = try job.claim(now: now)
        let retry = RetryPolicy(base: .seconds(1), cap: .seconds(1), maxAttempts: 1)
        let drafts = try job.finish(job.lease, with: outcome, retry: retry, jitter: 0, now: now)
        return (job, JobEvent(id: 7, job: job.key, at: now.wall, draft: try #require(drafts.last)))
    }

    private func answered(_ output: String = output) throws -> Outcome {
        let bytes = Array(output.utf8)
        let layers = JSONScanner.find(try JSONPointer("/predicted_layers"), in: bytes)
        return .answered(Outcome.Answer(payload: payload(output), layers: layers.map { .array($0) } ?? .none))
    }

    private func object(_ json: [UInt8]) throws -> [String: Any] {
        try #require(JSONSerialization.jsonObject(with: Data(json)) as? [String: Any])
    }

    private func record(_ job: Job, request: String = request, output: String? = nil) throws -> [String: Any] {
        let bodies = Wire.Bodies(input: Array(request.utf8), output: output.map { Array($0.utf8) })
        let native = Wire.record(job, bodies: bodies, ahead: nil)
        let members = RequestMembers(Array(request.utf8))
        let facts = ReferenceWire.Facts(job: job, updatedAt: now.wall, request: members)
        return try object(ReferenceWire.record(native, facts))
    }

    private func last(_ job: Job, _ event: JobEvent, request: String = request, output: String? = nil) throws
        -> (json: [UInt8], data: [String: Any])
    {
        let members = RequestMembers(Array(request.utf8))
        let json = ReferenceWire.event(event, of: job, output: output.map { Array($0.utf8) }, request: members)
        return (json, try #require(try object(json)["data"] as? [String: Any]))
    }

    // MARK: Records

    @Test(arguments: [
        (Status.pending, "PENDING"), (.running, "RUNNING"), (.completed, "COMPLETED"), (.failed, "FAILED"),
        (.cancelled, "STOPPED"),
    ])
    func aStatusHasItsOtherName(_ status: Status, _ name: String) {
        #expect(ReferenceWire.status(status) == name)
    }

    @Test func aRecordHasTheMembersOfItsRequestAndItsOwnWin() throws {
        let job = pending()
        let record = try record(job)
        #expect(record["id"] as? String == job.id.description)
        #expect(record["event_id"] as? String == job.id.description)
        #expect(record["status"] as? String == "PENDING")
        #expect(record["location"] as? String == "Mombasa")
        #expect(record["temporal_domain"] as? [String] == ["2024-01-01"])
        #expect(record["created_by"] as? String == "")
        #expect(record["active"] as? Bool == true)
        #expect(record["updated_at"] as? String == now.wall.rfc3339)
        #expect((record["geoserver_layers"] as? [String: [String]])?["predicted_layers"]?.isEmpty == true)
        #expect(record["error"] is NSNull)
        #expect(record["omitted"] == nil)
    }

    @Test func aMemberThatIsNullIsAbsentAndTheModelIsNamedBothWays() throws {
        let record = try record(pending())
        #expect(record["model_display_name"] as? String == "floods")
        #expect(record["model_id"] as? String == ModelID.of("floods").description)
        let other = try self.record(pending(#"{"a":1}"#), request: #"{"a":1}"#)
        #expect(other["model_display_name"] as? String == "floods")
        #expect(other["a"] as? Int == 1)
    }

    @Test(arguments: ["[1]", "7", "{}"])
    func aRequestWithoutMembersAddsNone(_ request: String) throws {
        let own = try record(pending("{}"), request: "{}")
        #expect(try Set(record(pending(request), request: request).keys) == Set(own.keys))
    }

    @Test func layersStandWhereAMapLooksForThem() throws {
        let (job, _) = try ended(try answered())
        let record = try record(job, output: Self.output)
        let layers = (record["geoserver_layers"] as? [String: [[String: String]]])?["predicted_layers"]
        #expect(layers == [["uri": "geofm:water"]])
        #expect(record["predicted_layers"] as? [[String: String]] == layers)
    }

    @Test func anErrorIsASentenceWithWhatTheModelServerSaid() throws {
        let failure = Failure(.httpError, "it said 500", isRetryable: false, status: 500, body: "out of memory")
        let (job, event) = try ended(.failed(failure, retryAfter: nil))
        #expect(try record(job)["error"] as? String == "it said 500: out of memory")
        let data = try last(job, event).data
        #expect(data["error"] as? String == "it said 500: out of memory")
        #expect(data["status"] as? String == "FAILED")
    }

    @Test func pathsAreThoseOfTheseClients() throws {
        let job = pending()
        let urls = try record(job)["urls"] as? [String: String]
        #expect(urls?["self"] == "/v2/inference/\(job.id)")
        #expect(urls?["events"] == "/v2/async/notify/\(job.id)")
        #expect(urls?["output"] == "/v1/inference/\(job.id)/output")
    }

    // MARK: Events

    @Test func theLastEventIsTheRecordWithItsRequest() throws {
        let (job, event) = try ended(try answered())
        let (json, data) = try last(job, event, output: Self.output)
        #expect(json.allSatisfy { $0 < 0x80 })
        var record = try record(job, output: Self.output)
        record["input"] = nil
        #expect(data as NSDictionary == record as NSDictionary)
    }

    @Test func anEventBeforeTheLastHasNoMembersOfTheRequest() throws {
        let job = pending()
        let (json, data) = try last(job, JobEvent(id: 1, job: job.key, at: now.wall, draft: job.accepted()))
        #expect(data["location"] == nil)
        #expect(data["message"] as? String == "accepted")
        #expect(data["event_id"] as? String == job.id.description)
        #expect(try object(json)["status"] as? String == "PENDING")
    }

    @Test func aFailedAttemptIsToldInASentence() throws {
        var job = pending()
        _ = try job.claim(now: now)
        let retry = RetryPolicy(base: .seconds(1), cap: .seconds(1), maxAttempts: 3)
        let failure = Failure(.timeout, "too slow", isRetryable: true)
        let drafts = try job.finish(
            job.lease, with: .failed(failure, retryAfter: nil), retry: retry, jitter: 0, now: now
        )
        let draft = try #require(drafts.first)
        #expect(draft.kind == .attemptFailed)
        let data = try last(job, JobEvent(id: 2, job: job.key, at: now.wall, draft: draft)).data
        #expect(data["error"] as? String == "too slow")
        #expect(data["attempt"] as? Int == 1)
    }

    @Test func whatAModelServerTellsStaysAsItIs() throws {
        var job = pending()
        _ = try job.claim(now: now)
        let detail = #"{"message":"half","status":"ERROR","error":{"a":1}}"#
        let drafts = try job.report(job.lease, Report(detail: Array(detail.utf8), layers: nil), limit: 9)
        let event = JobEvent(id: 3, job: job.key, at: now.wall, draft: try #require(drafts.first))
        let json = try last(job, event).json
        #expect(String(decoding: json, as: UTF8.self).hasSuffix(#""data":\#(detail)}"#))
    }

    // MARK: What is too large

    @Test func membersOfTheRequestAreTheFirstToBeLeftOutTheLargestFirst() throws {
        let request = #"{"location":"here","spatial_domain":"\#(String(repeating: "x", count: 60_000))"}"#
        let output = #"{"x":"\#(String(repeating: "y", count: 30_000))"}"#
        let (job, event) = try ended(try answered(output), request: request)
        let (json, data) = try last(job, event, request: request, output: output)
        #expect(json.count <= Wire.eventLimit)
        #expect(data["omitted"] as? [String] == ["spatial_domain"])
        #expect(data["location"] as? String == "here")
        #expect(data["output"] != nil)
    }

    @Test(arguments: [(8_000, []), (25_000, ["output"]), (40_000, ["output", "predicted_layers"])])
    func layersCountTwice(_ size: Int, _ omitted: [String]) throws {
        let output = #"{"predicted_layers":[{"x":"\#(String(repeating: "y", count: size))"}],"z":1}"#
        let (job, event) = try ended(try answered(output))
        let (json, data) = try last(job, event, output: output)
        #expect(json.count <= Wire.eventLimit)
        #expect(data["omitted"] as? [String] ?? [] == omitted)
        #expect((data["geoserver_layers"] == nil) == omitted.contains("predicted_layers"))
        #expect(data["location"] as? String == "Mombasa")
    }

    @Test func manyMembersThatDoNotFitAreLeftOutTogether() throws {
        let request = "{" + (0..<9000).map { "\"member\($0)\":\($0)" }.joined(separator: ",") + "}"
        let (job, event) = try ended(try answered(), request: request)
        let (json, data) = try last(job, event, request: request, output: Self.output)
        #expect(json.count <= Wire.eventLimit)
        #expect(data["omitted"] as? [String] == ["input"])
        #expect(data["member0"] == nil)
        #expect(try record(job, request: request, output: Self.output)["omitted"] as? [String] == ["input"])
    }

    @Test func aRequestThatJustFitsIsWhole() throws {
        let (job, event) = try ended(try answered())
        let bare = try last(job, event, request: "{}", output: Self.output).json.count
        for slack in [0, 1, 2, 31, 32, 33, 64] {
            let size = Wire.eventLimit - bare - #","a":"""#.utf8.count - slack
            let request = #"{"a":"\#(String(repeating: "x", count: size))"}"#
            let (json, data) = try last(job, event, request: request, output: Self.output)
            #expect(json.count <= Wire.eventLimit)
            #expect((data["a"] == nil) == (data["omitted"] as? [String] == ["a"]))
        }
    }

    // MARK: Models

    /// As `uuid.uuid5(uuid.NAMESPACE_URL, "urn:inferq:model:" + name)` of Python has them.
    @Test(arguments: [
        ("floods", "7420e35a-2b56-526b-9d2b-0703d41d0f65"), ("ocr", "032c23fe-91e3-5005-9e55-3890e94217e8"),
        ("é/1", "3623987c-dcd1-5db6-8733-eb8d27bb1557"),
    ])
    func theIdOfAModelFollowsFromItsName(_ name: String, _ id: String) {
        #expect(ModelID.of(name).description == id)
        #expect(ModelID.name(id.uppercased(), among: ["a", name]) == name)
        #expect(ModelID.name(name, among: ["a", name]) == name)
        #expect(ModelID.name(id, among: ["a"]) == nil)
    }
}
