import InferqCore
import InferqHTTP
import InferqRedis
import NIOHTTP1

/// What the doctor asks of the programs around the gateway.
enum NeighborExamination {
    /// Nil if none is used.
    static func redis(_ settings: Settings) -> Finding? {
        guard let place = settings.redisInUse else { return nil }
        do throws(RedisError) {
            let found = try RedisCheck.examine(place, settings.redis, id: InstanceID.random().text)
            if let first = found.refused.first {
                let prefix = settings.redis.prefix
                let all = found.refused.map(\.command).joined(separator: ", ")
                let reason = found.refused.count == 1 ? first.reason : "\(first.reason); also for \(all)"
                return .wrong(
                    "redis",
                    "\(first.command) on \(first.place) cannot be used at \(place) (\(reason)); allow its user all that "
                        + "inferq does: +@all on ~\(prefix):* and &\(prefix):*"
                )
            }
            if let policy = found.riskyPolicy {
                return .note(
                    "redis", "it may drop keys when it is full (\(policy)); set maxmemory-policy to noeviction")
            }
            return .ok("redis", "it answers, and does all that is needed, at \(place)")
        } catch {
            let sentence = "no Redis can be used at \(place) (\(error)); start it, or correct broker.redis"
            let isNeeded = settings.broker.kind == .redis
            return .wrong("redis", isNeeded ? sentence : sentence + "; the ring is used until then")
        }
    }

    static func model(_ model: ModelSettings) async -> [Finding] {
        let subject = "model \(model.name)"
        guard !model.url.isEmpty else { return [.note(subject, "only workers on other hosts serve it")] }
        let place = Settings.masked(model.url)
        let address: WebAddress
        do throws(Refusal) {
            address = try WebAddress(model.url, example: "")
        } catch {
            return [.wrong(subject, "\(error.what); \(error.advice)")]
        }
        do throws(SocketProbe.Failure) {
            try SocketProbe.check(target(address))
        } catch {
            let advice = "start its server, or correct models.\(model.name).url"
            return [.wrong(subject, "nothing answers at \(place) (\(error.reason)); \(advice)")]
        }
        var findings = [await path(model, place, subject)]
        if !model.health.isEmpty { findings.append(await health(model, address, subject)) }
        return findings
    }

    private static func target(_ address: WebAddress) -> SocketProbe.Target {
        if address.scheme == "http+unix" { return .unix(path: address.host.percentDecoded ?? "") }
        return .tcp(host: address.host, port: address.port ?? (address.scheme == "https" ? 443 : 80))
    }

    // MARK: The path that jobs go to

    /// Asks with a GET, which changes nothing; a path for POST alone may answer that with any refusal.
    private static func path(_ model: ModelSettings, _ place: String, _ subject: String) async -> Finding {
        let key = "models.\(model.name)"
        do {
            let answer = try await ask(.GET, model.url, model)
            let said = "it answers \(answer.status) to a GET at \(place)"
            if let target = answer.target {
                return .wrong(
                    subject, "\(said), with a redirect to \(target), which no job follows; correct \(key).url")
            }
            switch answer.status {
            case 404, 410:
                // Some servers say so of a path for POST alone; few of those say it to OPTIONS as well.
                guard try await [404, 410].contains(ask(.OPTIONS, model.url, model).status) else {
                    return .ok(subject, said)
                }
                return .wrong(subject, "\(said), and to OPTIONS; correct \(key).url if a POST gets the same answer")
            case 401, 403, 407: return .note(subject, "\(said); look at \(key).headers if a POST gets the same answer")
            case 500, 502...599: return .note(subject, "\(said); look at its log if a POST gets the same answer")
            default: return .ok(subject, said)
            }
        } catch {
            let failure = ConnectionFailure(error)
            let sentence = "a GET at \(place) gets no answer (\(failure.reason))"
            // A server that works on one request at a time may be at work.
            if failure.cause != .unreadable {
                return .note(subject, sentence + "; look at its log if jobs get none either")
            }
            if failure.isUntrusted {
                let advice = "name its CA's file in \(key).ca, or add that CA to those that this host trusts"
                return .wrong(subject, "\(sentence); \(advice)")
            }
            return .wrong(subject, sentence + "; correct \(key).url")
        }
    }

    // MARK: The health path

    private static func health(_ model: ModelSettings, _ address: WebAddress, _ subject: String) async -> Finding {
        let port = address.port.map { ":\($0)" } ?? ""
        let url = "\(address.scheme)://\(address.host)\(port)\(model.health)"
        do {
            let answer = try await ask(.GET, url, model)
            let said = "its health path \(model.health) answers \(answer.status)"
            if (200..<300).contains(answer.status) { return .ok(subject, said) }
            if let target = answer.target {
                return .wrong(subject, "\(said), with a redirect to \(target); correct models.\(model.name).health")
            }
            return .wrong(subject, "\(said); look at its log")
        } catch {
            let reason = ConnectionFailure(error).reason
            return .wrong(subject, "its health path \(model.health) gives no answer (\(reason)); look at its log")
        }
    }

    private static func ask(_ method: HTTPMethod, _ url: String, _ model: ModelSettings) async throws -> (
        status: Int, target: String?
    ) {
        try await HTTPClient.withClient { http in
            var request = ClientRequest(method, url)
            request.ca = model.ca
            for header in model.headers { request.headers.add(name: header.name, value: header.value) }
            let answer = try await http.send(request, within: .seconds(5))
            guard [301, 302, 303, 307, 308].contains(answer.status) else { return (answer.status, nil) }
            return (answer.status, answer.headers.first(name: "Location").map(shown) ?? "nowhere")
        }
    }

    /// A redirect's target without what may be secret in it.
    private static func shown(_ target: String) -> String {
        if target.contains("://") { return Settings.masked(target) }
        return String(target.prefix { $0 != "?" }).quoted(limit: 400)
    }
}
