import Foundation
import GRDB
import InferqCore

// How values of ours are in a row, and how rows are read out of a cursor.

extension UUIDv7 {
    /// The 16 bytes in network order.
    var data: Data {
        var data = Data(capacity: 16)
        for half in [high, low] {
            for shift in stride(from: 56, through: 0, by: -8) {
                data.append(UInt8(truncatingIfNeeded: half >> UInt64(shift)))
            }
        }
        return data
    }

    init?(data: Data) {
        guard data.count == 16 else { return nil }
        var halves: (UInt64, UInt64) = (0, 0)
        for (index, byte) in data.enumerated() {
            if index < 8 { halves.0 = halves.0 << 8 | UInt64(byte) } else { halves.1 = halves.1 << 8 | UInt64(byte) }
        }
        self.init(high: halves.0, low: halves.1)
    }
}

extension Int: StoredValue {
    func bind(to statement: OpaquePointer, at parameter: CInt) -> CInt {
        Int64(self).bind(to: statement, at: parameter)
    }
}

extension JobKey: StoredValue {
    func bind(to statement: OpaquePointer, at parameter: CInt) -> CInt {
        value.bind(to: statement, at: parameter)
    }
}

extension Timestamp: StoredValue {
    func bind(to statement: OpaquePointer, at parameter: CInt) -> CInt {
        milliseconds.bind(to: statement, at: parameter)
    }
}

extension Elapsed: StoredValue {
    func bind(to statement: OpaquePointer, at parameter: CInt) -> CInt {
        milliseconds.bind(to: statement, at: parameter)
    }
}

extension Duration: StoredValue {
    /// Whole milliseconds.
    func bind(to statement: OpaquePointer, at parameter: CInt) -> CInt {
        milliseconds.bind(to: statement, at: parameter)
    }
}

extension Cursor {
    /// The first element, mapped while the cursor still holds it.
    func first<Value>(_ transform: (Element) throws -> Value) throws -> Value? {
        try withExtendedLifetime(self) { try next().map(transform) }
    }

    /// All elements, mapped one by one (a `Row` of a cursor is only valid until the next one).
    func array<Value>(_ transform: (Element) throws -> Value) throws -> [Value] {
        var values: [Value] = []
        while let element = try next() { values.append(try transform(element)) }
        return values
    }
}
