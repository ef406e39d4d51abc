import HTTPTypes

/// The table of routes: finds what a request asks for by its path and its method.
///
/// Empty segments of a path do not count, so slashes may be doubled and may stand at the end. Paths are compared byte by
/// byte, as they were sent. A segment that is spelled out comes before a parameter, and a parameter before `{name...}`.
struct Routes: Sendable {
    /// A route that was found.
    struct Match: Sendable {
        let route: Route
        let parameters: PathParameters
        let metrics: HTTPMetrics.Route
    }

    /// What is at a path.
    enum Place: Sendable {
        case found(Match)
        /// The path is there, without that method; `allow` names those that it has.
        case otherMethod(allow: String)
        case unknownPath
    }

    private struct Offer: Sendable {
        let method: HTTPRequest.Method
        let route: Route
        let metrics: HTTPMetrics.Route
    }

    /// A template with all its methods.
    private struct Path: Sendable {
        let template: String
        let parameters: [String]
        var offers: [Offer] = []
        var allow = ""
    }

    /// A place in the tree of segments; its branches are indices of nodes.
    private struct Node: Sendable {
        var literals: [(segment: [UInt8], node: Int)] = []
        var parameter: Int?
        /// The path that ends here.
        var path: Int?
        /// The path whose last parameter takes all that follows.
        var rest: Int?
    }

    private var paths: [Path] = []
    private var nodes = [Node()]

    init(_ rows: [Route], metrics: HTTPMetrics) {
        for row in rows { add(row, metrics) }
        for index in paths.indices {
            paths[index].allow = (paths[index].offers.map(\.method.rawValue) + ["OPTIONS"]).sorted()
                .joined(separator: ", ")
        }
    }

    /// - Parameter path: of a request's target, without the query.
    func find(_ method: HTTPRequest.Method, _ path: String) -> Place {
        var values: [Range<Int>] = []
        guard let index = follow(path.utf8Span.span, from: 0, at: 0, &values) else { return .unknownPath }
        let found = paths[index]
        guard let offer = found.offers.first(where: { $0.method == method }) else {
            return .otherMethod(allow: found.allow)
        }
        let parameters = PathParameters(names: found.parameters, values: values.map { path.utf8(in: $0) })
        return .found(Match(route: offer.route, parameters: parameters, metrics: offer.metrics))
    }

    /// - Parameter start: where the segment before ends.
    /// - Returns: the index of the path that fits; `values` are where its parameters lie then, and as before otherwise.
    private func follow(_ path: Span<UInt8>, from start: Int, at node: Int, _ values: inout [Range<Int>]) -> Int? {
        let slash = UInt8(ascii: "/")
        var begin = start
        while begin < path.count, path[begin] == slash { begin += 1 }
        if begin == path.count {
            if let found = nodes[node].path { return found }
        } else {
            var end = begin
            while end < path.count, path[end] != slash { end += 1 }
            let segment = path.extracting(begin..<end)
            for literal in nodes[node].literals where literal.segment.isEqual(to: segment) {
                if let found = follow(path, from: end, at: literal.node, &values) { return found }
            }
            if let parameter = nodes[node].parameter {
                values.append(begin..<end)
                if let found = follow(path, from: end, at: parameter, &values) { return found }
                values.removeLast()
            }
        }
        guard let rest = nodes[node].rest else { return nil }
        // But for the one slash that ends the segment before.
        values.append(min(start + 1, path.count)..<path.count)
        return rest
    }

    // MARK: Making the table

    private mutating func add(_ row: Route, _ metrics: HTTPMetrics) {
        let path = path(of: row.template)
        offer(row, row.method, at: path, metrics)
        if row.method == .get { offer(row, .head, at: path, metrics) }
    }

    private mutating func offer(_ row: Route, _ method: HTTPRequest.Method, at path: Int, _ metrics: HTTPMetrics) {
        precondition(!paths[path].offers.contains { $0.method == method }, "\(method) \(row.template) is listed twice")
        paths[path].offers.append(Offer(method: method, route: row, metrics: metrics.route(row.template, method)))
    }

    /// The index of a template, which is added if it is new.
    private mutating func path(of template: String) -> Int {
        if let index = paths.firstIndex(where: { $0.template == template }) { return index }
        var parameters: [String] = []
        var node = 0
        var hasRest = false
        for segment in template.split(separator: "/") {
            precondition(!hasRest, "\(template): nothing can follow a parameter that takes all")
            if segment.hasPrefix("{"), segment.hasSuffix("}") {
                let name = segment.dropFirst().dropLast()
                hasRest = name.hasSuffix("...")
                parameters.append(String(hasRest ? name.dropLast(3) : name))
                if !hasRest { node = parameterNode(below: node) }
            } else {
                node = literalNode(String(segment), below: node)
            }
        }
        let isTaken = hasRest ? nodes[node].rest != nil : nodes[node].path != nil
        precondition(!isTaken, "\(template) differs from another path only by the names of its parameters")
        if hasRest { nodes[node].rest = paths.count } else { nodes[node].path = paths.count }
        paths.append(Path(template: template, parameters: parameters))
        return paths.count - 1
    }

    private mutating func parameterNode(below node: Int) -> Int {
        if let known = nodes[node].parameter { return known }
        nodes.append(Node())
        nodes[node].parameter = nodes.count - 1
        return nodes.count - 1
    }

    private mutating func literalNode(_ segment: String, below node: Int) -> Int {
        let segment = Array(segment.utf8)
        if let known = nodes[node].literals.first(where: { $0.segment == segment }) { return known.node }
        nodes.append(Node())
        nodes[node].literals.append((segment, nodes.count - 1))
        return nodes.count - 1
    }
}

extension [UInt8] {
    fileprivate func isEqual(to bytes: Span<UInt8>) -> Bool {
        guard count == bytes.count else { return false }
        for index in indices where self[index] != bytes[index] { return false }
        return true
    }
}
