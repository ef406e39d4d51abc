import InferqCore
import InferqQueue
import InferqStore
import Testing

@testable import InferqHTTP

/// Cursors of lists and queries: only what the gateway gave is taken, and whatever comes, it does not trap.
struct CursorTests {
    @Test(arguments: [1, 35, 36, 4096, 7_306_000_000_000_000, Int64.max])
    func aCursorIsReadAsItWasGiven(_ value: Int64) {
        let text = ReadRoutes.Cursor.text(after: JobKey(value: value))
        #expect(ReadRoutes.Cursor.key(text) == JobKey(value: value))
        #expect(text.utf8.allSatisfy { Array("0123456789abcdefghijklmnopqrstuvwxyz".utf8).contains($0) })
    }

    @Test(arguments: [
        "", "j", "j0", "j-1", "j+1", "j01", "jA", "1", "k1", " j1", "j1 ", "j1y2p0ij32e8e8", "jé", "j1\u{0}",
    ])
    func whatTheGatewayDidNotGiveIsNone(_ text: String) {
        #expect(ReadRoutes.Cursor.key(text) == nil)
    }

    @Test
    func randomTextIsACursorOrNone() {
        var random = SystemRandomNumberGenerator()
        let alphabet: [Unicode.Scalar] = [
            "j", "0", "1", "9", "a", "z", "A", "-", "+", "%", "2", "F", "&", "=", "é", "\u{0}",
        ]
        for _ in 0..<200_000 {
            var scalars = String.UnicodeScalarView(["j"])
            for _ in 0..<Int.random(in: 0...15, using: &random) {
                scalars.append(alphabet[Int.random(in: 0..<alphabet.count, using: &random)])
            }
            let text = String(scalars)
            if let key = ReadRoutes.Cursor.key(text), ReadRoutes.Cursor.text(after: key) != text {
                Issue.record("not one that was given: \(text.debugDescription)")
            }
            _ = try? Query(text)  // refused or not: it must come back
        }
    }
}
