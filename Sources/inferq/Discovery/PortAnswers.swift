import Foundation
import InferqHTTP

/// What one port of this host answers to a few GETs, each of which changes nothing.
struct PortAnswers: Sendable {
    /// Those by which the servers of models can be told apart.
    static let paths = [
        "/", "/readyz", "/api/version", "/api/tags", "/props", "/v2", "/version", "/info", "/v1/models",
        "/openapi.json",
    ]

    /// For each answer: on this host a server that is awake needs milliseconds.
    private static let patience = Duration.seconds(2)
    /// Bytes of one answer; what is longer tells nothing that is looked for.
    private static let longest = 1 << 20

    let port: Int
    /// Bodies of answers of 200, by their path.
    private(set) var bodies: [String: [UInt8]] = [:]

    init(port: Int, bodies: [String: [UInt8]] = [:]) {
        self.port = port
        self.bodies = bodies
    }

    /// Asks; nil where nothing speaks HTTP.
    init?(asking port: Int, _ http: HTTPClient) async {
        self.port = port
        for path in Self.paths {
            do {
                let request = ClientRequest(
                    .GET, "http://127.0.0.1:\(port)\(path)", headers: ["User-Agent": "inferq"])
                let answer = try await http.send(request, within: Self.patience)
                let body = try await answer.bytes(upTo: Self.longest)
                if answer.status == 200 { bodies[path] = body }
            } catch HTTPClientError.answerTooLong {
                continue
            } catch {
                // Who has no answer to the first will have none to the others.
                if path == Self.paths.first { return nil }
            }
        }
    }

    func text(_ path: String) -> String { String(decoding: bodies[path] ?? [], as: UTF8.self) }

    /// The JSON object at a path, nil if there is none.
    func object(_ path: String) -> [String: Any]? {
        guard let body = bodies[path] else { return nil }
        // What is no JSON tells nothing that is looked for.
        return (try? JSONSerialization.jsonObject(with: Data(body))) as? [String: Any]
    }
}
