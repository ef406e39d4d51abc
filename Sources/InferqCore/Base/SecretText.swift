/// Comparison of texts that must not be guessed piece by piece.
package enum SecretText {
    /// Takes as long for a guess that is nearly right as for another of the same length.
    package static func isEqual(_ guess: String, _ secret: String) -> Bool {
        let (guess, secret) = (Array(guess.utf8), Array(secret.utf8))
        return guess.count == secret.count && zip(guess, secret).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
