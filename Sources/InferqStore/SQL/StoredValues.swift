import GRDB
import InferqCore

// How values of ours are in a row.

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
