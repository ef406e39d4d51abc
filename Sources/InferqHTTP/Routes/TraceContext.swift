import InferqCore

/// W3C Trace Context, level 1: a job belongs to the trace of the request that submitted it, or begins one.
enum TraceContext {
    /// A `traceparent` for the job: the caller's trace with a span of our own, or a new trace when the caller sent none
    /// that can be read.
    static func child(of parent: String?) -> String {
        var random = RandomBits()
        let span = hex(random.next() | 1)
        if let parent, let (trace, flags) = parsed(parent) { return "00-\(trace)-\(span)-\(flags)" }
        return "00-\(hex(random.next() | 1))\(hex(random.next()))-\(span)-00"
    }

    private static func parsed(_ text: String) -> (trace: Substring, flags: Substring)? {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count >= 4, parts[0].count == 2, parts[0] != "ff", parts[1].count == 32, parts[2].count == 16,
            parts[3].count == 2, parts[0] != "00" || parts.count == 4,
            parts[0...3].allSatisfy({ $0.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) } }),
            parts[1].contains(where: { $0 != "0" }), parts[2].contains(where: { $0 != "0" })
        else { return nil }
        return (parts[1], parts[3])
    }

    private static func hex(_ value: UInt64) -> String {
        String(unsafeUninitializedCapacity: 16) { bytes in
            for index in 0..<16 {
                let digit = UInt8(truncatingIfNeeded: value >> UInt64(60 - 4 * index)) & 15
                bytes[index] = digit < 10 ? 48 + digit : 87 + digit
            }
            return 16
        }
    }
}
