import InferqCore

/// Where the paths of a model server begin: with a dialect at the model's `url`, otherwise at the origin of that.
struct ModelRoot: Sendable, Hashable {
    private let server: HTTPAddress
    /// The path of the `url`, without a slash at its end.
    let path: String

    /// Nil for a model that has no address here: workers on other hosts serve it.
    init?(_ model: ModelSettings) {
        guard !model.url.isEmpty, let address = HTTPAddress(model.url, ca: model.ca) else { return nil }
        self.init(address, model.dialect)
    }

    /// - Parameter address: of the model's `url`.
    init(_ address: HTTPAddress, _ dialect: Dialect) {
        server = address.with(target: "/")
        guard dialect != .none else {
            path = ""
            return
        }
        var path = address.target.prefix { $0 != "?" }
        while path.last == "/" { path.removeLast() }
        self.path = String(path)
    }

    /// - Parameter target: path and query as the model server sees them below its root; not a byte of it changes.
    func address(of target: String) -> HTTPAddress {
        server.with(target: path + target)
    }
}
