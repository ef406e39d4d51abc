import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Random bits from the kernel, fetched for several uses at a time: a submit needs five words, and a system call for
/// each costs as much as a lookup in the store.
package struct RandomBits: RandomNumberGenerator, Sendable {
    /// As many bytes as one `getentropy` gives.
    private static let wordCount = 256 / MemoryLayout<UInt64>.size
    private static let stock = Mutex<[UInt64]>([])

    package init() {}

    package mutating func next() -> UInt64 {
        Self.stock.withLock { stock in
            if let word = stock.popLast() { return word }
            var words = [UInt64](repeating: 0, count: Self.wordCount)
            let isFilled = words.withUnsafeMutableBytes { getentropy($0.baseAddress, $0.count) == 0 }
            var system = SystemRandomNumberGenerator()
            guard isFilled, let word = words.popLast() else { return system.next() }
            stock = words
            return word
        }
    }
}
