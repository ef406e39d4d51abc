import HTTPTypes
import InferqCore

/// Which requests are calls: a value made of the configured models. The gateway's own routes come before it.
struct CallTable: Sendable {
    /// A request that is a call, or that is handed through.
    struct Found: Sendable {
        let kind: CallKind
        /// Path and query as the model server gets them below its root: the bytes that came.
        let target: String
        /// Of the errors that this call is answered with.
        let form: ErrorForm
        /// Of the same path with all models, for metrics; one of ``CallTable/routes``.
        let route: String
        /// By name; more than one where the body names the model.
        let candidates: [ModelSettings]
        /// Whether the path names the model, so that the body need not be searched.
        let isNamedByPath: Bool

        var needs: RouteNeeds {
            switch kind {
            case .job: .submitting
            case .handedThrough: .looking
            }
        }
    }

    /// All that ``Found/route`` can be.
    static let routes =
        [mountRoute, RootPath.configured] + KServePath.routes
        + Array(Set(Dialect.allCases.flatMap(\.rootPaths).map(\.route))).sorted()

    static let mountRoute = "/upstream/{model}"

    private let byName: [String: CallModel]
    /// By name.
    private let models: [CallModel]
    private let exact: [String: [Offer]]
    private let open: [(pattern: CallPattern, offer: Offer)]
    /// Speak the Open Inference Protocol.
    private let kserve: [CallModel]
    /// The first segments of paths at the root.
    private let tops: Set<String>

    private struct Offer: Sendable {
        let model: CallModel
        let use: CallUse
        let route: String
    }

    /// What is at a path of the root.
    private struct Place {
        let offers: [Offer]
        let isNamedByPath: Bool
    }

    init(_ settings: [ModelSettings]) {
        models = settings.sorted { $0.name < $1.name }.map(CallModel.init)
        byName = Dictionary(uniqueKeysWithValues: models.map { ($0.name, $0) })
        kserve = models.filter { $0.settings.dialect == .kserve }
        let offers = models.flatMap { model in
            model.rootPaths.map { path in
                (pattern: path.pattern, offer: Offer(model: model, use: path.use, route: path.route))
            }
        }
        open = offers.filter { $0.pattern.exactPath == nil }
        var exact: [String: [Offer]] = [:]
        for path in offers.compactMap({ $0.pattern.exactPath }) where exact[path] == nil {
            exact[path] = Self.offers(at: path, of: offers)
        }
        self.exact = exact
        tops = Set(offers.compactMap { Self.top($0.pattern.text) } + (kserve.isEmpty ? [] : ["v2"]))
    }

    /// One offer of each model: the first.
    private static func offers(at path: String, of offers: [(pattern: CallPattern, offer: Offer)]) -> [Offer] {
        var found: [Offer] = []
        for (pattern, offer) in offers where pattern.covers(path) && found.last?.model.name != offer.model.name {
            found.append(offer)
        }
        return found
    }

    private static func top(_ path: String) -> String? {
        path.utf8.split(separator: UInt8(ascii: "/"), maxSplits: 1).first.map { String(Substring($0)) }
    }

    // MARK: Looking up

    /// - Parameters:
    ///   - path: of a request that no route of the gateway's own has.
    ///   - query: without its question mark; nil when there is none.
    /// - Returns: nil when the path is none of calls.
    /// - Throws: what is wrong with a path that is. ``form(of:)`` says how to put it.
    func find(_ method: HTTPRequest.Method, _ path: String, query: String?) throws(APIError) -> Found? {
        let path = CallPath.withoutFragment(path)
        let suffix = query.map { "?" + $0 } ?? ""
        if let mounted = Self.mounted(path) {
            if CallPath.hasDotSegments(path) { throw .dotSegments }
            guard let model = byName[mounted.model] else { throw .noSuchModel(mounted.model) }
            let offers = [Offer(model: model, use: .jobs, route: Self.mountRoute)]
            let form = ErrorForm(model.settings.dialect, path: mounted.path)
            return try found(method, mounted.path, suffix, offers, form, isNamedByPath: true)
        }
        if mayBeCall(path), CallPath.hasDotSegments(path) { throw .dotSegments }
        let place = try place(at: path)
        guard !place.offers.isEmpty else {
            let isOfOllama = models.contains { $0.settings.dialect == .ollama }
            if isOfOllama, CallPath.isAdministration(path) { throw .closedCall }
            return nil
        }
        return try found(
            method, path, suffix, place.offers, form(of: place, at: path), isNamedByPath: place.isNamedByPath
        )
    }

    /// How errors are put that concern a path, whether or not there is something at it.
    func form(of path: String) -> ErrorForm {
        let path = CallPath.withoutFragment(path)
        if let mounted = Self.mounted(path) {
            // Who calls a model that does not exist may speak any language.
            return byName[mounted.model].map { ErrorForm($0.settings.dialect, path: mounted.path) } ?? .problem
        }
        guard let place = try? place(at: path) else { return .of(path: path) }
        return form(of: place, at: path)
    }

    /// The methods of a path, for `Allow`; nil when it is none of calls.
    func allow(_ path: String) -> String? {
        let path = CallPath.withoutFragment(path)
        if let mounted = Self.mounted(path) {
            guard let model = byName[mounted.model] else { return nil }
            return Self.allow([Offer(model: model, use: .jobs, route: "")], mounted.path)
        }
        // What is wrong with the path is told to anyone who asks for it.
        guard let place = try? place(at: path), !place.offers.isEmpty else { return nil }
        return Self.allow(place.offers, path)
    }

    private func form(of place: Place, at path: String) -> ErrorForm {
        let known = ErrorForm.of(path: path)
        guard known == .problem, let first = place.offers.first else { return known }
        return ErrorForm(first.model.settings.dialect, path: path)
    }

    private func mayBeCall(_ path: String) -> Bool {
        Self.top(path).map(tops.contains) ?? false
    }

    /// `/upstream/{model}/{path...}`; nil for any other path. The path of a mount alone is the root.
    private static func mounted(_ path: String) -> (model: String, path: String)? {
        let mount = "/upstream/"
        guard path.utf8.starts(with: mount.utf8) else { return nil }
        let rest = path.utf8.dropFirst(mount.utf8.count)
        let name = String(Substring(rest.prefix { $0 != UInt8(ascii: "/") }))
        guard !name.isEmpty else { return nil }
        let below = String(Substring(rest.dropFirst(name.utf8.count)))
        return (name.decodingEscapes, below.isEmpty ? "/" : below)
    }

    private func place(at path: String) throws(APIError) -> Place {
        guard !kserve.isEmpty, let asked = KServePath(path) else {
            return Place(offers: patternOffers(at: path), isNamedByPath: false)
        }
        guard let name = asked.model else {
            let offers = kserve.map { Offer(model: $0, use: asked.use, route: asked.route) }
            return Place(offers: offers, isNamedByPath: false)
        }
        let named = kserve.map(\.settings).named(name)
        guard named.count <= 1 else { throw .ambiguousModel(name, among: named.map(\.name)) }
        if let model = named.first.flatMap({ byName[$0.name] }) {
            return Place(offers: [Offer(model: model, use: asked.use, route: asked.route)], isNamedByPath: true)
        }
        let others = patternOffers(at: path)
        guard others.isEmpty else { return Place(offers: others, isNamedByPath: false) }
        throw .modelNotFound(name, known: kserve.flatMap(\.settings.literalNames))
    }

    private func patternOffers(at path: String) -> [Offer] {
        exact[path] ?? Self.offers(at: path, of: open)
    }

    // MARK: Methods

    private func found(
        _ method: HTTPRequest.Method,
        _ path: String,
        _ suffix: String,
        _ offers: [Offer],
        _ form: ErrorForm,
        isNamedByPath: Bool
    ) throws(APIError) -> Found {
        let reachable = offers.filter { !$0.model.closes(path) }
        guard let first = reachable.first else { throw .closedCall }
        if method == .connect { throw .upgradeUnsupported }
        let kinds = reachable.map { $0.model.kind(of: method.rawValue, path, $0.use) }
        // Where models differ, it is a job of those that queue it: the body is kept before it is known whom it names.
        let kind: CallKind? = kinds.contains(.job) ? .job : kinds.contains(.handedThrough) ? .handedThrough : nil
        guard let kind else { throw .methodNotAllowed(method.rawValue, allow: Self.allow(offers, path)) }
        let taken = zip(reachable, kinds).filter { method == .post ? $0.1 != nil : $0.1 == kind }
        return Found(
            kind: kind, target: path + suffix, form: form, route: first.route,
            candidates: taken.map { $0.0.model.settings }, isNamedByPath: isNamedByPath
        )
    }

    private static func allow(_ offers: [Offer], _ path: String) -> String {
        let methods = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"].filter { method in
            offers.contains { !$0.model.closes(path) && $0.model.kind(of: method, path, $0.use) != nil }
        }
        return (methods + ["OPTIONS"]).sorted().joined(separator: ", ")
    }
}

extension CallTable.Found {
    /// The model that is called.
    ///
    /// - Parameter named: by the body; nil or empty when it names none.
    /// - Throws: 404 when no candidate has that name; 422 when several have it, or when only a name tells them apart.
    func model(named: String?) throws(APIError) -> ModelSettings {
        guard let named, !named.isEmpty, !isNamedByPath else {
            guard let first = candidates.first else { throw .modelNotFound("", known: []) }
            guard candidates.count > 1, !areOneServer else { return first }
            throw .ambiguousModel(nil, among: candidates.map(\.name))
        }
        let models = candidates.named(named)
        guard let first = models.first else {
            throw .modelNotFound(named, known: candidates.flatMap(\.literalNames))
        }
        guard models.count == 1 else { throw .ambiguousModel(named, among: models.map(\.name)) }
        return first
    }

    /// Whether it makes no difference who is asked: all candidates are models of the same server.
    private var areOneServer: Bool {
        kind == .handedThrough && Set(candidates.map(ModelRoot.init)).count == 1
    }
}
