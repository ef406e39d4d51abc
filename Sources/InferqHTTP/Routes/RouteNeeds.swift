import InferqCore

/// What a route needs of anyone who asks. There is no route without.
enum RouteNeeds: Sendable, Equatable {
    /// Nothing: it holds no data, or has a guard of its own.
    case nothing
    /// One of these scopes.
    case scope(Scopes)
    /// One of these scopes, or a ticket for what the path names.
    case scopeOrTicket(Scopes)
    /// One of these scopes, or the token of an attempt of the job that the path names: its worker's, on another host.
    case scopeOrToken(Scopes)

    static let submitting = RouteNeeds.scope(.submit)
    /// Of jobs: which ones, the scopes decide once more for each.
    static let reading = RouteNeeds.scope([.read, .readAll])
    static let readingInput = RouteNeeds.scopeOrToken([.read, .readAll])
    static let listening = RouteNeeds.scopeOrTicket([.read, .readAll])
    /// Of what belongs to no client.
    static let looking = RouteNeeds.scope([.submit, .read])
    static let cancelling = RouteNeeds.scope([.cancel, .operate])
    static let retrying = RouteNeeds.scope([.submit, .operate])
    static let operating = RouteNeeds.scope(.operate)

    /// Empty: none is needed.
    var scopes: Scopes {
        switch self {
        case .nothing: []
        case .scope(let scopes), .scopeOrTicket(let scopes), .scopeOrToken(let scopes): scopes
        }
    }

    var takesTicket: Bool {
        if case .scopeOrTicket = self { true } else { false }
    }

    var takesToken: Bool {
        if case .scopeOrToken = self { true } else { false }
    }

    /// - Throws: 403.
    func check(_ caller: Caller) throws(APIError) {
        guard scopes.isEmpty || !scopes.isDisjoint(with: caller.scopes) else { throw .scopeMissing(scopes, of: caller) }
    }
}
