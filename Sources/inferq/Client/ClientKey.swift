import Glibc
import InferqCore

/// The key that a client command shows to the gateway. It is never an argument, which everyone on the host would see.
enum ClientKey {
    /// Bytes of a key and what may stand around it.
    private static let most = 4096

    /// The key of `INFERQ_KEY`, or else of the file that `INFERQ_KEY_FILE` names; nil if there is none.
    static func fromEnvironment() throws(ClientError) -> AccessKey? {
        if let text = Environment["INFERQ_KEY"], !text.isEmpty { return try key(text, in: "INFERQ_KEY") }
        guard let path = Environment["INFERQ_KEY_FILE"], !path.isEmpty else { return nil }
        let name = "INFERQ_KEY_FILE: \(path.visible())"
        let bytes: [UInt8]?
        do throws(Refusal) {
            bytes = try SettingsFiles.contents(of: path, largest: most)
        } catch {
            throw ClientError(.usage, "\(name) \(error.what); \(error.advice)")
        }
        guard let bytes else { throw ClientError(.usage, "\(name) does not exist; check the path") }
        return try key(String(decoding: bytes, as: UTF8.self), in: name)
    }

    /// The key on standard input.
    static func fromStandardInput() throws(ClientError) -> AccessKey {
        if isatty(STDIN_FILENO) == 1 { StandardError.write("paste the key, then press Enter:") }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: most)
        while bytes.count < most, !bytes.contains(UInt8(ascii: "\n")) {
            let count = read(STDIN_FILENO, &piece, piece.count)
            if count == 0 { break }
            if count < 0, errno != EINTR {
                throw ClientError(.usage, "standard input cannot be read (\(String(cString: strerror(errno))))")
            }
            bytes += piece.prefix(max(0, count))
        }
        return try key(String(decoding: bytes, as: UTF8.self), in: "standard input")
    }

    private static func key(_ text: String, in source: String) throws(ClientError) -> AccessKey {
        var text = text[...]
        while text.last?.isWhitespace == true { text.removeLast() }
        guard let key = AccessKey(String(text)) else {
            let form = "\(AccessKey.prefix) and \(AccessKey.byteCount - AccessKey.prefix.utf8.count) letters and digits"
            throw ClientError(
                .usage, "\(source) holds no gateway key (\(form), the last of them a checksum); copy it again")
        }
        return key
    }
}
