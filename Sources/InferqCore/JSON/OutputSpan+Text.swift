extension OutputSpan<UInt8> {
    /// Appends a text that is written in the program.
    @inline(__always)
    mutating func append(_ text: StaticString) {
        append(copying: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// Appends bytes as they are.
    @inline(__always)
    mutating func append(_ bytes: Span<UInt8>) {
        bytes.withUnsafeBufferPointer { append(copying: $0) }
    }

    /// Byte by byte where that costs less than a call of memcpy.
    @inline(__always)
    private mutating func append(copying bytes: UnsafeBufferPointer<UInt8>) {
        if bytes.count < 12 {
            for byte in bytes { append(byte) }
        } else {
            withUnsafeMutableBufferPointer { buffer, count in
                precondition(bytes.count <= buffer.count - count, "more bytes than there is room for")
                _ = UnsafeMutableBufferPointer(rebasing: buffer[count...]).update(fromContentsOf: bytes)
                count += bytes.count
            }
        }
    }

    /// Appends a number of one or two decimal digits as two.
    @inline(__always)
    mutating func append(twoDigits number: Int) {
        append(UInt8(truncatingIfNeeded: 48 + number / 10))
        append(UInt8(truncatingIfNeeded: 48 + number % 10))
    }
}
