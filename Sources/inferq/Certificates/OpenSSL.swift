import Glibc
import InferqHTTP

/// Runs the command `openssl`, which makes keys and certificates.
struct OpenSSL {
    /// Where it writes what it has to say.
    let folder: String

    /// Returns when it has ended well.
    ///
    /// - Parameter what: what it makes, for the sentence when it does not.
    /// - Throws: ``ClientError``.
    func run(_ arguments: [String], making what: String) throws(ClientError) {
        let said = folder + "/openssl.log"
        unlink(said)
        let process: ChildProcess
        do {
            process = try ChildProcess(["openssl"] + arguments, output: .nowhere, errors: .file(said))
        } catch {
            if error.code == ENOENT {
                throw ClientError(.host, "openssl, which makes the certificates, is not installed; apt install openssl")
            }
            throw ClientError(.host, "openssl cannot be run (\(error.reason)); look at its file")
        }
        guard process.wait() != .exited(0) else { return }
        throw ClientError(.host, "openssl could not make \(what): \(Self.last(of: said).visible())")
    }

    /// The last line that it said.
    private static func last(of file: String) -> String {
        do throws(Refusal) {
            let bytes = try SettingsFiles.contents(of: file, largest: SettingsFiles.largest) ?? []
            let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
            return lines.last.map(String.init) ?? "it printed nothing"
        } catch {
            return "it printed nothing"
        }
    }
}
