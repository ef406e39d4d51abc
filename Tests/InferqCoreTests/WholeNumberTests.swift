import InferqCore
import Testing

/// Numbers from outside are numbers, however long they are.
struct WholeNumberTests {
    @Test(arguments: [
        ("0", 0), ("-7", -7), ("+7", 7), ("9223372036854775807", Int.max), ("9223372036854775808", Int.max),
        ("18446744073709551615", Int.max), ("-9223372036854775809", Int.min), ("00000000000000000000000000001", 1),
        (String(repeating: "9", count: 1000), Int.max),
    ])
    func whatIsTooLargeIsTheLargest(_ text: String, _ value: Int) {
        #expect(Int(saturating: text) == value)
    }

    @Test(arguments: ["", "-", "+", "1.5", " 1", "1 ", "0x10", "1e3", "--1", "٣", "9999999999999999999999x"])
    func whatIsNoNumberIsNone(_ text: String) {
        #expect(Int(saturating: text) == nil)
    }
}
