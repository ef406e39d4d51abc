import HTTPTypes
import InferqCore

// What is wrong with the right to make a request.

extension APIError {
    /// - Parameter code: the reason; the sentence is one for all, so that a guess learns nothing from it.
    static func noRight(_ code: ProblemCode) -> APIError {
        APIError(
            code, "The request has no key that is valid here; send one as Authorization: Bearer KEY or as X-API-Key."
        ).with(.wwwAuthenticate, "Bearer").closing
    }

    static let severalKeys = APIError.invalid(
        "header Authorization", "it holds a different key than X-API-Key or a second one; send one key"
    )

    /// - Parameter pause: until the address is answered as others are.
    static func tooManyFailures(pause: Duration) -> APIError {
        APIError(
            .tooManyFailures,
            "Too many wrong keys came from this address; send a valid one, or wait \(seconds(pause)) s."
        ).with(.retryAfter, seconds(pause)).closing
    }

    /// - Parameter pause: until there is room for one request.
    static func rateLimited(_ rate: Rate, pause: Duration) -> APIError {
        APIError(
            .rateLimited, "The client has made more than \(rate.text) requests; try again in \(seconds(pause)) s."
        )
        .with(.retryAfter, seconds(pause))
        .with(.rateLimitPolicy, "\"requests\";q=\(rate.count);w=\(seconds(rate.window))")
        .with(.rateLimit, "\"requests\";r=0;t=\(seconds(pause))")
    }

    /// - Parameter needed: of which one would do.
    static func scopeMissing(_ needed: Scopes, of caller: Caller) -> APIError {
        let names = needed.names.joined(separator: " or ")
        return APIError(
            .scopeMissing,
            caller === Caller.local
                ? "This socket lacks the scope that this needs: \(names); root has it on the socket admin+unix: in listen."
                : "The key lacks the scope that this needs: \(names).")
    }

    static func modelNotAllowed(_ model: String, allowed: [String]) -> APIError {
        APIError(
            .modelNotAllowed,
            "The key may not use the model \"\(model.clipped)\", only \(allowed.prefix(1000).joined(separator: ", ")).")
    }

    static func priorityNotAllowed(_ priority: Int, limit: Int) -> APIError {
        APIError(.priorityNotAllowed, "The key may not ask for priority \(priority), only for up to \(limit).")
    }

    /// Whole seconds, rounded up: a client that waits that long has waited long enough.
    private static func seconds(_ duration: Duration) -> String {
        String(max(1, Int((duration / .seconds(1)).rounded(.up))))
    }
}
