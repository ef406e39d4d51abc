extension Int {
    /// Reads a whole number of any length in decimal digits, with a sign or without; one that is too large for an `Int`
    /// becomes the largest, one that is too small the smallest.
    ///
    /// For numbers from outside: to take one that does not fit for none at all would pass over the limit that it breaks.
    package init?(saturating text: some StringProtocol) {
        if let value = Int(text) {
            self = value
            return
        }
        let isNegative = text.utf8.first == UInt8(ascii: "-")
        let hasSign = isNegative || text.utf8.first == UInt8(ascii: "+")
        let digits = text.utf8.dropFirst(hasSign ? 1 : 0)
        guard !digits.isEmpty, digits.allSatisfy({ (48...57).contains($0) }) else { return nil }
        self = isNegative ? .min : .max
    }
}
