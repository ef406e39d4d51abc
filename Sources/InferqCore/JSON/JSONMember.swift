/// One member of an object, as places in the bytes that were scanned.
package struct JSONMember: Sendable, Equatable {
    /// Without quotes and escapes; a lone surrogate has become U+FFFD.
    package let name: String
    /// From the name's opening quote to the end of the value.
    package let whole: Range<Int>
    package let value: Range<Int>
    package let kind: JSONKind
}
