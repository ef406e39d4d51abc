import FoundationEssentials
import InferqCore

/// The part of a job's record that client commands need.
struct JobRecord: Decodable, Sendable, Equatable {
    var id: String
    var eventID: String

    enum CodingKeys: String, CodingKey {
        case id
        case eventID = "event_id"
    }

    /// - Throws: ``ClientError`` if the bytes are no record.
    init(_ bytes: [UInt8], from client: GatewayClient) throws(ClientError) {
        // Whatever is wrong with them, they are not what a gateway answers.
        guard let record = try? JSONDecoder().decode(JobRecord.self, from: Data(bytes)),
            UUIDv7(record.id) != nil, UUIDv7(record.eventID) != nil
        else {
            let sentence = "what answers at \(client.address) is not an inferq gateway; name another with --url"
            throw ClientError(.unreadable, sentence)
        }
        self = record
    }

    /// The record with this id, nil if there is none.
    static func find(_ id: String, _ client: GatewayClient) async throws -> JobRecord? {
        do {
            return try JobRecord(await client.bytes(of: client.get("/v1/inference/\(id)")), from: client)
        } catch let error as ClientError where error.status == 404 {
            return nil
        }
    }
}
