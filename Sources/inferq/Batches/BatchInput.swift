import InferqCore

/// The lines of a file as the gateway takes them.
enum BatchInput {
    /// What a line is called that has no name of its own, before its number.
    private static let namePrefix = "line-"

    /// Makes requests of the lines of a file: each is one already, or the body of one.
    ///
    /// - Parameters:
    ///   - model: of bodies that name none.
    ///   - endpoint: of lines that are bodies.
    ///   - name: of the file, for sentences about it.
    /// - Throws: ``ClientError`` that names the line.
    static func requests(
        _ bytes: [UInt8], model: String?, endpoint: String, name: String
    ) throws(ClientError) -> [UInt8] {
        var cutter = LineCutter()
        var requests: [UInt8] = []
        requests.reserveCapacity(bytes.count)
        let lines = cutter.read(bytes) + [cutter.finish()].compactMap { $0 }
        guard !lines.isEmpty else { throw ClientError(.usage, "\(name) has no lines") }
        for line in lines {
            guard let object = JSONObject(line.text) else {
                throw ClientError(.usage, "line \(line.number) of \(name) is not a JSON object")
            }
            let isRequest = object["custom_id"] != nil && object["body"] != nil
            var request = isRequest ? object : JSONObject()
            if !isRequest {
                request.set("custom_id", "\(namePrefix)\(line.number)")
                request.set("method", "POST")
                request.set("url", endpoint)
            }
            guard var body = isRequest ? object.object("body") : object else {
                throw ClientError(.usage, "line \(line.number) of \(name): body is not a JSON object")
            }
            if body["model"] == nil {
                guard let model else {
                    throw ClientError(.usage, "line \(line.number) of \(name) names no model; name one with --model")
                }
                body.set("model", model)
            }
            request.set("body", body)
            requests += request.bytes.map { $0 == 0x0A || $0 == 0x0D ? 0x20 : $0 } + [0x0A]
        }
        return requests
    }

    /// A form with a file of requests.
    static func form(_ requests: [UInt8], fileName: String) -> (contentType: String, body: [UInt8]) {
        var boundary = ""
        repeat {
            boundary = "inferq-\(UInt64.random(in: 0 ... .max))"
        } while requests.firstRange(of: boundary.utf8) != nil
        let plain = fileName.map { "\"\\\r\n".contains($0) ? "_" : $0 }
        let head = """
            --\(boundary)\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n\
            --\(boundary)\r\nContent-Disposition: form-data; name="file"; filename="\(String(plain))"\r\n\r\n
            """
        return (
            "multipart/form-data; boundary=\(boundary)", Array(head.utf8) + requests + "\r\n--\(boundary)--\r\n".utf8
        )
    }
}
