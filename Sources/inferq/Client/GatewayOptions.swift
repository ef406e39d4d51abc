import ArgumentParser

/// How a client command finds the gateway.
struct GatewayOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where the gateway is: http://HOST:PORT or unix:/PATH.",
            discussion: """
                Without it INFERQ_URL, and without that the first of unix:/run/inferq/inferq.sock and \
                http://127.0.0.1:8484 that answers.
                """
        )
    )
    var url: String?

    /// Runs `body` with a client of the gateway.
    func withGateway<Result>(_ body: (GatewayClient) async throws -> Result) async throws -> Result {
        let candidates = try GatewayAddress.candidates(flag: url, variable: Environment["INFERQ_URL"])
        return try await GatewayClient.withClient(of: candidates, body)
    }
}
