import InferqCore

/// Paths of single jobs.
enum JobPath {
    /// - Throws: ``ClientError`` if the text is no UUID: nothing else is sent as part of a path.
    static func record(_ id: String) throws(ClientError) -> String {
        guard let id = UUIDv7(id) else {
            throw ClientError(.usage, "\(id.quoted()) is not a UUID; give the id of a job")
        }
        return "/v1/inference/\(id)"
    }
}
