/// Secrets that systemd hands over as files (`LoadCredential=`), named in the settings as `"$CREDENTIAL:name"`.
struct Credentials {
    /// What CREDENTIALS_DIRECTORY names.
    let folder: String?

    static let prefix = "$CREDENTIAL:"

    /// The secret that `text` names, or `text` itself if it names none.
    ///
    /// Line breaks at the end are dropped: `echo` and editors put one there.
    func resolve(_ text: String) throws(Refusal) -> String {
        guard text.hasPrefix(Self.prefix) else {
            guard !text.contains(Self.prefix) else {
                let advice = "put the words around it into the credential's file as well"
                throw Refusal("\(Self.prefix) must be the beginning of the value", advice)
            }
            return text
        }
        let name = String(text.dropFirst(Self.prefix.utf8.count))
        let isName = name.utf8.allSatisfy { $0.isLetterOrDigit || "._-@".utf8.contains($0) }
        guard isName, (1...255).contains(name.utf8.count), name != ".", name != ".." else {
            let advice = "use letters, digits, dots, hyphens and underscores after \(Self.prefix)"
            throw Refusal("\(name.quoted()) cannot name a credential", advice)
        }
        guard let folder, !folder.isEmpty else {
            let advice = "add LoadCredential=\(name):/path/of/the/secret to the unit and start it with systemd"
            throw Refusal("the credential \(name) is missing (CREDENTIALS_DIRECTORY is not set)", advice)
        }
        return try secret(in: "\(folder)/\(name)", name: name)
    }

    private func secret(in file: String, name: String) throws(Refusal) -> String {
        let place = "the credential's file \(file.visible())"
        let bytes: [UInt8]?
        do throws(Refusal) {
            bytes = try SettingsFiles.contents(of: file, largest: 64 << 10)
        } catch {
            throw Refusal("\(place) \(error.what)", error.advice)
        }
        guard let bytes else {
            throw Refusal("\(place) does not exist", "add LoadCredential=\(name):/path/of/the/secret to the unit")
        }
        guard var secret = String(validating: bytes, as: UTF8.self) else {
            throw Refusal("\(place) is not UTF-8", "store the secret as text")
        }
        while secret.last?.isNewline == true { secret.removeLast() }
        guard !secret.isEmpty else { throw Refusal("\(place) is empty", "store the secret in it") }
        guard !secret.unicodeScalars.contains(where: \.isInvisible) else {
            throw Refusal("\(place) holds a control character or a second line", "store the secret as one line")
        }
        return secret
    }
}
