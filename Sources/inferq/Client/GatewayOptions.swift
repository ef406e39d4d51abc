import ArgumentParser
import InferqHTTP

/// How a client command finds the gateway.
struct GatewayOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where the gateway is: http://HOST:PORT or unix:/PATH.",
            discussion: """
                By default INFERQ_URL, or else the first of unix:/run/inferq/inferq.sock and \
                http://127.0.0.1:8484 that answers.
                """
        )
    )
    var url: String?

    @Flag(
        name: .customLong("key-stdin"),
        help: ArgumentHelp(
            "Read the key for the gateway from standard input.",
            discussion: "By default INFERQ_KEY, or else the file named by INFERQ_KEY_FILE."
        )
    )
    var takesKeyFromStandardInput = false

    @Option(
        help: ArgumentHelp(
            "A PEM file of the CA that signed an https gateway's certificate; by default those that this host trusts.",
            valueName: "file"
        ),
        completion: .file(extensions: ["pem", "crt"])
    )
    var ca: String?

    /// The key to show, if one is given, and who is believed.
    func credentials() throws(ClientError) -> GatewayClient.Credentials {
        let key = takesKeyFromStandardInput ? try ClientKey.fromStandardInput() : try ClientKey.fromEnvironment()
        return GatewayClient.Credentials(key: key, ca: try authority())
    }

    /// The file of `--ca`, in which there are certificates; empty without one.
    private func authority() throws(ClientError) -> String {
        guard let ca else { return "" }
        do throws(Refusal) {
            let bytes = try SettingsFiles.contents(of: ca, largest: SettingsFiles.largest)
            guard let bytes else { throw Refusal("there is no such file", "correct the path") }
            guard CertificateFacts(pem: bytes) != nil else {
                throw Refusal("the file holds no certificate in PEM", "name a file with -----BEGIN CERTIFICATE-----")
            }
            return ca
        } catch {
            throw ClientError(.usage, "--ca \(ca.quoted()): \(error.what); \(error.advice)")
        }
    }

    /// Runs `body` with a client of the gateway.
    func withGateway<Result>(_ body: (GatewayClient) async throws -> Result) async throws -> Result {
        let candidates = try GatewayAddress.candidates(flag: url, variable: Environment["INFERQ_URL"])
        return try await GatewayClient.withClient(of: candidates, try credentials(), body)
    }
}
