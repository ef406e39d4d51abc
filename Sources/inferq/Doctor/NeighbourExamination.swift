import AsyncHTTPClient
import InferqCore
import InferqRedis
import NIOCore
import NIOHTTP1

/// What the doctor asks of the programs around the gateway.
enum NeighbourExamination {
    /// Nil if none is used.
    static func redis(_ broker: BrokerSettings) -> Finding? {
        guard let settings = broker.redisSettings else { return nil }
        let place = Settings.masked(broker.redis)
        do throws(RedisError) {
            guard let policy = try RedisCheck.riskyPolicy(settings) else {
                return .ok("redis", "it answers and takes writes at \(place)")
            }
            return .note("redis", "it may drop keys when it is full (\(policy)); set maxmemory-policy to noeviction")
        } catch {
            let sentence = "no Redis can be used at \(place) (\(error)); start it, or correct broker.redis"
            return .wrong("redis", broker.kind == .redis ? sentence : sentence + "; the ring is used until then")
        }
    }

    static func model(_ model: ModelSettings) async -> Finding {
        let subject = "model \(model.name)"
        guard !model.url.isEmpty else { return .note(subject, "workers on other hosts alone serve it") }
        let advice = "start its server, or correct models.\(model.name).url"
        do {
            let address = try WebAddress(model.url, example: "")
            let place = Settings.masked(model.url)
            do throws(SocketProbe.Failure) {
                try SocketProbe.check(target(address))
            } catch {
                return .wrong(subject, "nothing answers at \(place) (\(error.reason)); \(advice)")
            }
            guard !model.health.isEmpty else { return .ok(subject, "something listens at \(place)") }
            return try await health(model, address, subject)
        } catch let error as Refusal {
            return .wrong(subject, "\(error.what); \(error.advice)")
        } catch {
            let reason = ConnectionFailure(error).reason
            return .wrong(subject, "its health path \(model.health) gives no answer (\(reason)); look at its log")
        }
    }

    private static func target(_ address: WebAddress) -> SocketProbe.Target {
        if address.scheme == "http+unix" { return .unix(path: address.host.percentDecoded ?? "") }
        return .tcp(host: address.host, port: address.port ?? (address.scheme == "https" ? 443 : 80))
    }

    private static func health(_ model: ModelSettings, _ address: WebAddress, _ subject: String) async throws -> Finding
    {
        let port = address.port.map { ":\($0)" } ?? ""
        let url = "\(address.scheme)://\(address.host)\(port)\(model.health)"
        let configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        return try await HTTPClient.withHTTPClient(configuration: configuration) { http in
            var request = HTTPClientRequest(url: url)
            for header in model.headers { request.headers.add(name: header.name, value: header.value) }
            let response = try await http.execute(request, timeout: .seconds(5))
            guard (200..<300).contains(response.status.code) else {
                let sentence = "its health path \(model.health) answers \(response.status.code); look at its log"
                return .wrong(subject, sentence)
            }
            return .ok(subject, "its health path \(model.health) answers \(response.status.code)")
        }
    }
}
