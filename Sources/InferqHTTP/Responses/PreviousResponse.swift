import InferqCore
import InferqStore
import NIOHTTP1

/// Finds out what a model server calls the response that a new one goes on from, and whether it has kept that.
struct PreviousResponse: Sendable {
    let gateway: Gateway
    let caller: Caller

    /// Model servers answer such a question from memory.
    private static let patience = Duration.seconds(2)

    /// - Parameter previous: as the client names it.
    /// - Throws: 400 when the server keeps no responses, 404 when there is none of that name.
    func name(of previous: String, at model: ModelSettings) async throws -> String {
        var name = previous
        if let id = ResponseFacts.ids.uuid(in: previous) {
            let job = try await ResponseRoutes(gateway: gateway).job(id, for: caller)
            guard job.status == .completed, let given = try await serversName(of: job) else {
                throw APIError.invalid(
                    "previous_response_id",
                    "the response \"\(previous)\" is \(Wire.status(job.status)), and not completed")
            }
            name = given
        }
        // Whatever else it says, it may have it all the same: it loads, or has too much to do.
        guard let status = try await status(of: name, at: model), [404, 405, 410, 501].contains(status) else {
            return name
        }
        throw APIError.invalid(
            "previous_response_id",
            "the model server of \"\(model.name)\" has not kept it (it answered \(status) to GET \(ResponseFacts.path)/"
                + "\(name.clipped)); send the conversation so far in input")
    }

    /// What the server has named the response that it answered with; nil: it gave no name.
    private func serversName(of job: Job) async throws -> String? {
        guard let output = job.output, let bytes = try await gateway.store.bytes(of: output) else { return nil }
        return ResponseFacts.serversName(in: bytes)
    }

    /// The status of the server's answer when it is asked for a response; nil: it gives none now, and the attempt will
    /// show.
    private func status(of name: String, at model: ModelSettings) async throws -> Int? {
        let isPlain = name.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                || "-_.".utf8.contains(byte)
        }
        guard isPlain, !name.isEmpty, name.utf8.count <= 256 else {
            throw APIError.invalid("previous_response_id", "\"\(name.clipped)\" is not the identifier of a response")
        }
        guard let root = ModelRoot(model) else { return nil }
        let request = ClientRequest(
            .GET, at: root.address(of: "\(ResponseFacts.path)/\(name)"),
            headers: HeaderPassage.request([], model.headers))
        do {
            return try await HTTPClient().send(request, within: Self.patience).status
        } catch is HTTPClientError {
            return nil
        }
    }
}
