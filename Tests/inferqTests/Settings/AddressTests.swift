import InferqHTTP
import InferqRedis
import Testing

@testable import inferq

struct AddressTests {
    @Test(arguments: ["127.0.0.1:8484", "[::1]:8484", "0.0.0.0:0", "localhost:8484", "[::]:1", "unix:/run/x.sock"])
    func anAddressReadsBackAsItWasWritten(_ text: String) throws {
        #expect(try AddressRules.endpoint(text).description == text)
    }

    @Test(arguments: [
        "", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1: 1",
        "127.0.0.300:1",
        "example.org:80", "[::1]", "[::1:80", "[127.0.0.1]:80", "*:80", "unix:", "unix:x", "unix:/",
        "http://127.0.0.1:80",
        "unix:/" + String(repeating: "x", count: 107),
    ])
    func anythingElseIsNoAddressToListenOn(_ text: String) {
        #expect(throws: Refusal.self) { try AddressRules.endpoint(text) }
    }

    @Test(
        arguments: [
            ("redis://127.0.0.1:6379/0", .tcp(host: "127.0.0.1", port: 6379), nil, nil, 0),
            ("redis://user:password@host:1", .tcp(host: "host", port: 1), "user", "password", 0),
            ("redis://h", .tcp(host: "h", port: 6379), nil, nil, 0),
            ("REDIS://h/", .tcp(host: "h", port: 6379), nil, nil, 0),
            ("redis://:p%40@[::1]:1/15", .tcp(host: "::1", port: 1), nil, "p@", 15),
            ("redis://p@h", .tcp(host: "h", port: 6379), nil, "p", 0),
            ("unix:/run/redis/redis-server.sock", .unix(path: "/run/redis/redis-server.sock"), nil, nil, 0),
            ("unix:/x?db=3", .unix(path: "/x"), nil, nil, 3),
        ] as [(String, RedisAddress.Place, String?, String?, Int)])
    func aRedisAddressIsTaken(
        _ text: String,
        _ place: RedisAddress.Place,
        _ user: String?,
        _ password: String?,
        _ database: Int
    ) throws {
        var expected = RedisAddress(place)
        (expected.user, expected.password, expected.database) = (user, password, database)
        #expect(try AddressRules.redisAddress(text) == expected)
    }

    @Test
    func anEmptyTextIsNoRedis() throws {
        #expect(try AddressRules.redisAddress("") == nil)
    }

    @Test(arguments: [
        "rediss://h", "REDISS://h", "redis://", "redis:h", "h:6379", "redis://h/x", "redis://h/1/2", "redis://h:0",
        "redis://h?db=1",
        "redis://h#1", "unix:x", "unix:///run/x", "unix:/x?db=", "unix:/x?db=1?db=2", "redis://u:%ff@h", "redis://a b",
        "http://h",
    ])
    func anythingElseIsNoRedisAddress(_ text: String) {
        #expect(throws: Refusal.self) { try AddressRules.redisAddress(text) }
    }

    @Test(arguments: [
        "http://127.0.0.1:9001/predict", "https://model.example", "http://[::1]:9001/a?b=c",
        "http+unix://%2Frun%2Fx.sock/predict",
        "http+unix://%2Frun%2Fx.sock", "http://under_score/p", "http://h/%C3%A9",
    ])
    func aModelAddressIsTaken(_ text: String) throws {
        #expect(try AddressRules.modelURL(text) == text)
    }

    @Test
    func aSchemeIsWrittenInLowerCase() throws {
        #expect(try AddressRules.modelURL("HTTP://H/P") == "http://H/P")
    }

    @Test(arguments: [
        "", "h", "//h", "http:/h", "http://", "http:///p", "http://h:/p", "http://h:99999", "http://h h/", "http://h/é",
        "http://h/%", "http://h/%0", "http://h/%zz", "http://h/#x", "http://u@h/", "ftp://h/", "unix:/run/x",
        "http+unix://run/x",
        "http+unix://%2F/p", "http+unix://%2Fa%00b/p", "http+unix://%2Fa:1/p", "http://127.0.0.300/", "http://[::g]/",
        "http://-a/",
        "http://a..b/", "javascript://h", "http://h/\u{0}",
    ])
    func anythingElseIsNoModelAddress(_ text: String) {
        #expect(throws: Refusal.self) { try AddressRules.modelURL(text) }
    }

    @Test(arguments: [
        ("https://app.example", "https://app.example"), ("HTTPS://App.Example:443", "https://app.example"),
        ("http://localhost:3000", "http://localhost:3000"), ("http://h:80", "http://h"),
        ("https://h:80", "https://h:80"),
        ("capacitor://localhost", "capacitor://localhost"), ("http://[::1]:1", "http://[::1]:1"),
    ])
    func anOriginIsWrittenAsBrowsersDo(_ text: String, _ origin: String) throws {
        #expect(try AddressRules.origin(text) == origin)
    }

    @Test(arguments: [
        "*", "null", "", "app.example", "https://", "https://a/", "https://a?x", "https://u@a", "https://*.a",
    ])
    func anythingElseIsNoOrigin(_ text: String) {
        #expect(throws: Refusal.self) { try AddressRules.origin(text) }
    }

    @Test(arguments: [
        ("a", true), ("ocr", true), ("qwen2.5:7b-instruct_q4", true), (String(repeating: "a", count: 128), true),
        ("", false),
        (".", false), ("..", false), ("-a", false), ("a/b", false), ("a b", false), ("é", false), ("a%", false),
        ("a\n", false),
        (String(repeating: "a", count: 129), false),
    ])
    func aModelNameCanStandInAURL(_ name: String, _ isName: Bool) {
        #expect(ModelReader.isName(name) == isName)
    }
}
