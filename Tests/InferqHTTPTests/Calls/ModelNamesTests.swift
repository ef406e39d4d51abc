import InferqCore
import Testing

@testable import InferqHTTP

struct ModelNamesTests {
    @Test(arguments: [
        ("a", "a"), ("", "*"), ("a", "*"), ("a/b", "*"), ("abc", "a*"), ("abc", "*c"), ("abc", "a*c"), ("abc", "*b*"),
        ("abc", "abc*"), ("abc", "***"), ("aXbXc", "a*b*c"), ("aaab", "*aab"), ("abab", "*ab"), ("qwen3-8b", "qwen3-*"),
        ("Qwen/Qwen3-8B", "Qwen/*"), ("Qwen/Qwen3-8B", "*/Qwen3-*B"), ("mississippi", "m*iss*iss*pi"),
        ("llama3:latest", "llama3*"),
        ("a*b", "a*b"), ("\u{e9}t\u{e9}", "\u{e9}*"), ("ab", "a**b"),
    ])
    func aNameFitsAPattern(_ name: String, _ pattern: String) {
        #expect(ModelSettings.fits(name, pattern))
    }

    @Test(arguments: [
        ("", "a"), ("a", ""), ("a", "b"), ("A", "a"), ("ab", "a"), ("a", "ab"), ("abc", "b*"), ("abc", "*b"),
        ("abc", "a*d"),
        ("abc", "*a*a*"), ("qwen3", "qwen3-*"), ("xqwen3-8b", "qwen3-*"), ("a", "?"), ("ab", "a?"), ("abc", "a*b"),
        ("aab", "a*aab"),
        ("mississippi", "m*iss*iss*iss*pi"),
    ])
    func anotherDoesNot(_ name: String, _ pattern: String) {
        #expect(!ModelSettings.fits(name, pattern))
    }

    @Test
    func aHostilePatternTakesNoLongTime() {
        let name = String(repeating: "a", count: 4000)
        #expect(!ModelSettings.fits(name, String(repeating: "a*", count: 100) + "b"))
    }

    private static func model(_ name: String, _ names: String...) -> ModelSettings {
        var model = ModelSettings(name: name, url: "http://127.0.0.1:1/")
        model.names = names
        return model
    }

    private let models = [
        model("a"), model("b", "x", "qwen*"), model("c", "x", "qwen3", "*-large"), model("qwen3", "Org/One"),
        model("d", "d", "e*"),
    ]

    @Test(arguments: [
        ("a", ["a"]), ("b", ["b"]), ("x", ["b", "c"]), ("qwen2", ["b"]), ("qwen3", ["qwen3"]),
        ("qwen3-large", ["b", "c"]),
        ("Org/One", ["qwen3"]), ("org/one", []), ("", []), ("A", []), ("nobody", []), ("e", ["d"]),
        ("e5-large", ["c", "d"]),
    ])
    func aNameStandsForModels(_ name: String, _ found: [String]) {
        #expect(models.named(name).map(\.name) == found)
    }

    @Test
    func patternsAreNoLiteralNames() {
        #expect(models.map(\.literalNames) == [["a"], ["b", "x"], ["c", "x", "qwen3"], ["qwen3", "Org/One"], ["d"]])
    }
}
