import Glibc
import InferqHTTP

/// Runs the command `openssl`, which makes keys and certificates.
///
/// Not Foundation's `Process`: it copies whole entries of `/proc/self/fd` past the end of the buffer that they lie in
/// (swift-corelibs-foundation in Swift 6.3).
struct OpenSSL {
    /// Where it writes what it has to say.
    let folder: String

    /// Returns when it has ended well.
    ///
    /// - Parameter what: what it makes, for the sentence when it does not.
    /// - Throws: ``ClientError``.
    func run(_ arguments: [String], making what: String) throws(ClientError) {
        let said = folder + "/openssl.log"
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, said, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        var words: [UnsafeMutablePointer<CChar>?] = (["openssl"] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var process: pid_t = 0
        let code = posix_spawnp(&process, "openssl", &actions, nil, &words, environ)
        guard code == 0 else {
            if code == ENOENT {
                throw ClientError(.host, "openssl makes the certificates, and is not installed; apt install openssl")
            }
            throw ClientError(.host, "openssl cannot be run (\(String(cString: strerror(code)))); look at its file")
        }
        var status: CInt = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        guard status != 0 else { return }
        throw ClientError(.host, "openssl could not make \(what): \(Self.last(of: said).visible())")
    }

    /// The last line that it said.
    private static func last(of file: String) -> String {
        do throws(Refusal) {
            let bytes = try SettingsFiles.contents(of: file, largest: SettingsFiles.largest) ?? []
            let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
            return lines.last.map(String.init) ?? "it says nothing"
        } catch {
            return "it says nothing"
        }
    }
}
