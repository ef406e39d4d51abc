import Testing

@testable import inferq

struct CompletionsTests {
    @Test(arguments: [
        (["inferq", "submit", "--url", "http", ":", "//127.0.0.1", ":", "31900", "x"], "http://127.0.0.1:31900"),
        (["inferq", "submit", "--url", "=", "http", ":", "//box", "x"], "http://box"),
        (["inferq", "submit", "--url=http://127.0.0.1:1", "x"], "http://127.0.0.1:1"),
        (["inferq", "submit", "--url", "unix", ":", "/run/x.sock", "--ca", "y"], "unix:/run/x.sock"),
        (["inferq", "submit", "--url"], nil), (["inferq", "submit", "x"], nil),
    ])
    func anOptionIsReadAsBashSplitsIt(words: [String], value: String?) {
        #expect(Completions.value(of: "--url", in: words) == value)
    }
}
