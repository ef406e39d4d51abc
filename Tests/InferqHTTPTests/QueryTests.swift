import Testing

@testable import InferqHTTP

/// Queries are decoded strictly: what cannot be read is an error that names the place.
struct QueryTests {
    @Test func itemsAreDecoded() throws {
        let query = try Query("model=a%20b+c&empty&x=%C3%BC&y=1=2")
        #expect(query.items.map(\.name) == ["model", "empty", "x", "y"])
        #expect(query.items.map(\.value) == ["a b c", "", "ü", "1=2"])
    }

    @Test(arguments: ["a=%", "a=%4", "a=%zz", "a=%ff", "%C3=1"])
    func aBrokenEscapeIsRefused(_ text: String) {
        #expect(throws: APIError.self) { try Query(text) }
    }

    @Test func anItemThatMayStandOnceIsRefusedTwice() throws {
        let query = try Query("model=a&model=b")
        #expect(throws: APIError.self) { try query.single("model") }
        #expect(query.all("model") == ["a", "b"])
    }

    @Test func aStrangerIsNamed() throws {
        let query = try Query("limit=1&colour=red")
        let error = #expect(throws: APIError.self) { try query.allowOnly(["limit"]) }
        #expect(error?.detail.contains("colour") == true)
    }
}
