/// Asks Redis for a PING, with the password of its URL.
enum RedisProbe {
    /// - Parameter url: as the setting `broker.redis` takes it.
    /// - Throws: why there is no PONG, without the password.
    static func ping(_ url: String) throws(SocketProbe.Failure) {
        var commands: [[String]] = []
        let target: SocketProbe.Target
        if url.hasPrefix("unix:") {
            target = .unix(path: String(url.dropFirst(5)))
        } else {
            let address: WebAddress
            do throws(Refusal) {
                address = try WebAddress(url, example: "")
            } catch {
                throw SocketProbe.Failure(error.what)
            }
            target = .tcp(host: address.host, port: address.port ?? 6379)
            if let credentials = address.credentials {
                let parts = credentials.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
                let words = parts.map { String($0).percentDecoded ?? String($0) }
                commands.append(["AUTH"] + (words.first?.isEmpty == true ? Array(words.dropFirst()) : words))
            }
            let database = address.path.dropFirst()
            if !database.isEmpty { commands.append(["SELECT", String(database)]) }
        }
        commands.append(["PING"])
        let request = commands.flatMap(encoded)
        let answer = try SocketProbe.exchange(target, request) { bytes in
            let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).count - 1
            return lines >= commands.count || bytes.first == UInt8(ascii: "-")
        }
        let lines = String(decoding: answer, as: UTF8.self).split(separator: "\r\n")
        if let refusal = lines.first(where: { $0.hasPrefix("-") }) {
            throw SocketProbe.Failure("it answers \(String(refusal.dropFirst()).quoted(limit: 100))")
        }
        guard lines.last == "+PONG" else { throw SocketProbe.Failure("what answers there is no Redis") }
    }

    private static func encoded(_ words: [String]) -> [UInt8] {
        Array("*\(words.count)\r\n".utf8) + words.flatMap { Array("$\($0.utf8.count)\r\n\($0)\r\n".utf8) }
    }
}
