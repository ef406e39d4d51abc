extension Collection<UInt8> where Self: BidirectionalCollection {
    /// How many bytes stand before a last character of UTF-8 whose other bytes are missing; all of them where none is.
    ///
    /// The text need not be valid: bytes that belong to no character count as characters.
    package var countOfWholeCharacters: Int {
        var missing = 0
        for byte in reversed().prefix(3) {
            missing += 1
            // Continuation bytes (RFC 3629, section 3): the first byte of the character comes before them.
            guard byte & 0xC0 != 0x80 else { continue }
            let length =
                switch byte {
                case 0xC2...0xDF: 2
                case 0xE0...0xEF: 3
                case 0xF0...0xF4: 4
                default: 1
                }
            return length > missing ? count - missing : count
        }
        return count
    }
}
