package import Foundation

/// One part of the gateway, measured by itself.
package struct Case: Sendable {
    /// Does the part's work so many times.
    package typealias Work = @Sendable (_ times: Int) async throws -> Void

    package let name: String
    /// How often it is done for one figure: so often that the rest of the process weighs little.
    package let times: Int
    private let body: @Sendable (_ folder: URL, _ measure: @Sendable (Work) async throws -> Void) async throws -> Void

    init(
        _ name: String,
        times: Int,
        _ body: @escaping @Sendable (URL, @Sendable (Work) async throws -> Void) async throws -> Void
    ) {
        self.name = name
        self.times = times
        self.body = body
    }

    /// Prepares the part, calls `measure` once, and takes everything down again.
    ///
    /// - Parameter folder: for stores. What lies there from an earlier run is used again, and topped up.
    package func run(in folder: URL, measure: @Sendable (Work) async throws -> Void) async throws {
        try await body(folder, measure)
    }

    package static let all: [Case] =
        json + [
            ring, router, routerOpen, routerWithKey, read, submitOverHTTP, submitAlone, submitOfClient, submitTogether,
        ]
        + depths.map(claim(beside:))
}
