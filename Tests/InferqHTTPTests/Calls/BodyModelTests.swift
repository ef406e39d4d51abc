import Testing

@testable import InferqHTTP

/// How the model is found in a body, whatever pieces it comes in.
struct BodyModelTests {
    /// The name that is found, the same for every way to cut the body in two and for single bytes.
    private func name(
        _ body: some Sequence<UInt8>, _ type: String?, encoding: String? = nil, names: [String] = ["model"]
    ) -> String? {
        let bytes = Array(body)
        let whole = BodyModel.name(in: bytes, contentType: type, contentEncoding: encoding, names: names)
        var single = BodyModel(contentType: type, contentEncoding: encoding, names: names)
        for byte in bytes { single.read([byte].span) }
        #expect(single.name == whole)
        for cut in stride(from: 0, through: min(bytes.count, 400), by: 1) {
            var pieces = BodyModel(contentType: type, contentEncoding: encoding, names: names)
            pieces.read(Array(bytes[..<cut]).span)
            pieces.read(Array(bytes[cut...]).span)
            #expect(pieces.name == whole, "cut at \(cut)")
        }
        return whole
    }

    @Test(arguments: [
        (#"{"model":"m"}"#, "m"), (#"{"model":"m","stream":true}"#, "m"),
        (#"{"messages":[{"role":"user","content":"hi"}],"model":"m"}"#, "m"),
        (#" { "model" : "m" } "#, "m"), ("\r\n\t{\n\"model\"\t:\r\n\"m\"\n}\n", "m"),
        (#"{"model":"Qwen/Qwen3-8B"}"#, "Qwen/Qwen3-8B"),
        (#"{"a":{"model":"x"},"model":"m"}"#, "m"), (#"{"model":"m","a":{"model":"x"}}"#, "m"),
        (#"{"a":["model",{"model":"x"}],"model":"m"}"#, "m"),
        (#"{"a":"\"model\":\"x\"","model":"m"}"#, "m"), (#"{"a":"}","model":"m"}"#, "m"),
        (#"{"a":"\\","model":"m"}"#, "m"),
        (#"{"a":"\\\"","model":"m"}"#, "m"), (#"{"a":["]","}","\"]"],"model":"m"}"#, "m"),
        (#"{"a":[[[{}]]],"b":{},"model":"m"}"#, "m"),
        (#"{"model":"\u006d"}"#, "m"), (#"{"mod\u0065l":"m"}"#, "m"), (#"{"model":"a\"b\\c"}"#, "a\"b\\c"),
        (#"{"model":"é"}"#, "\u{e9}"),
        (#"{"model":"\ud83d\ude00"}"#, "\u{1F600}"), (#"{"model":"a","model":"b"}"#, "b"),
        (#"{"x":1.5e3,"y":null,"z":true,"model":"m"}"#, "m"),
        (#"{"x":-1 ,"model":"m"}"#, "m"), (#"{"modele":"x","mode":"y","model":"m"}"#, "m"),
        (#"{"":"x","model":"m"}"#, "m"), ("\u{FEFF}{\"model\":\"m\"}", "m"),
        (#"{"model":"m" , "x" : 1 }"#, "m"), (#"{"model":"m"}{"model":"x"}"#, "m"), (#"{"model":"m", oops"#, "m"),
    ])
    func aMemberOfJSONNamesIt(_ body: String, _ found: String) {
        #expect(name(body.utf8, "application/json") == found)
    }

    @Test(arguments: [
        "", " ", "{}", "[]", "null", "\"model\"", #"{"Model":"m"}"#, #"{"model":1}"#, #"{"model":null}"#,
        #"{"model":["m"]}"#, #"{"model":{"model":"m"}}"#,
        #"{"model":""}"#, #"{"model":"m"#, #"{"model""#, "{", "{\"", #"[{"model":"m"}]"#, #"{"a":{"model":"m"}}"#,
        #"{"model":"m","model":1}"#,
        #"{"model":"\x"}"#, #"{"x":1}"#, #"{]"model":"m"}"#, #"{"a":"model":"m"}"#,
        #"{"model":true}"#, "model=m",
    ])
    func otherJSONNamesNone(_ body: String) {
        #expect(name(body.utf8, "application/json") == nil)
    }

    @Test(arguments: [
        nil, "application/json", "application/json; charset=utf-8", "text/plain", "application/x-www-form-urlencoded",
        "", "nonsense",
        "application/octet-stream", "application/vnd.x+json",
    ])
    func jsonIsKnownByItsBytes(_ type: String?) {
        #expect(name(#"{"model":"m"}"#.utf8, type) == "m")
    }

    @Test
    func aNameHasABound() {
        let long = String(repeating: "x", count: 4000)
        #expect(BodyModel.name(in: Array(#"{"model":"\#(long)"}"#.utf8), contentType: nil) == long)
        let longer = String(repeating: "x", count: 5000)
        #expect(BodyModel.name(in: Array(#"{"model":"\#(longer)"}"#.utf8), contentType: nil) == nil)
        #expect(BodyModel.name(in: Array(#"{"\#(longer)":"x","model":"m"}"#.utf8), contentType: nil) == "m")
        #expect(BodyModel.name(in: Array(#"{"a":"\#(longer)","model":"m"}"#.utf8), contentType: nil) == "m")
        let form = "application/x-www-form-urlencoded"
        #expect(BodyModel.name(in: Array("a=\(longer)&model=m&\(longer)=x".utf8), contentType: form) == "m")
        #expect(BodyModel.name(in: Array("model=\(longer)".utf8), contentType: form) == nil)
    }

    @Test
    func aNameBehindALargeMemberIsFound() {
        var model = BodyModel(contentType: "application/json")
        model.read(Array(#"{"messages":[{"content":""#.utf8).span)
        let piece = [UInt8](repeating: UInt8(ascii: "A"), count: 64 << 10)
        for _ in 0..<64 { model.read(piece.span) }
        model.read(Array(#""}],"model":"m"}"#.utf8).span)
        #expect(model.name == "m")
    }

    @Test
    func whatIsCompressedNamesNone() {
        #expect(name(#"{"model":"m"}"#.utf8, "application/json", encoding: "gzip") == nil)
        #expect(name(#"{"model":"m"}"#.utf8, "application/json", encoding: "Identity") == "m")
        #expect(name([0x1F, 0x8B, 0x08, 0x00], "application/json") == nil)
    }

    @Test
    func anotherNameMayStandForIt() {
        #expect(name(#"{"name":"n"}"#.utf8, nil, names: ["model", "name"]) == "n")
        #expect(name(#"{"name":"n","model":"m"}"#.utf8, nil, names: ["model", "name"]) == "m")
        #expect(name(#"{"name":"n","model":""}"#.utf8, nil, names: ["model", "name"]) == "n")
        #expect(name(#"{"name":"n"}"#.utf8, nil) == nil)
    }

    // MARK: Forms

    @Test(arguments: [
        ("model=m", "m"), ("a=b&model=m", "m"), ("model=m&a=b", "m"), ("model=a+b", "a b"),
        ("model=Qwen%2FQwen3", "Qwen/Qwen3"), ("mod%65l=m", "m"),
        ("model=a&model=b", "b"), ("model==m", "=m"), ("&&model=m&&", "m"), ("model=%C3%A9", "\u{e9}"),
        ("model=%zz", "%zz"),
    ])
    func aFieldOfAFormNamesIt(_ body: String, _ found: String) {
        #expect(name(body.utf8, "application/x-www-form-urlencoded; charset=utf-8") == found)
    }

    @Test(arguments: ["", "model", "model=", "a=model=m", "Model=m", "a=b", "=m", "models=m"])
    func anotherFormNamesNone(_ body: String) {
        #expect(name(body.utf8, "application/x-www-form-urlencoded") == nil)
        #expect(name("model=m".utf8, "text/plain") == nil)
    }

    // MARK: Parts

    private func form(_ parts: [(head: String, content: String)], boundary: String = "XX", end: String = "--\r\n")
        -> String
    {
        parts.map { "--\(boundary)\r\n\($0.head)\r\n\r\n\($0.content)\r\n" }.joined() + "--\(boundary)\(end)"
    }

    private static let part = "Content-Disposition: form-data; name=\"model\""
    private static let file =
        "Content-Disposition: form-data; name=\"file\"; filename=\"model\"\r\nContent-Type: audio/wav"

    @Test(arguments: [
        [(part, "whisper-1")], [(part, "whisper-1"), (file, "RIFF\r\nxx")],
        [(file, "RIFF\r\n--X\r\n\r\r\n--"), (part, "whisper-1")],
        [(file, ""), (part, "whisper-1")], [("content-disposition:form-data;name=model", "whisper-1")],
        [("Content-Type: text/plain\r\nContent-Disposition: form-data; name=\"model\"", "whisper-1")],
        [(part, "x"), (part, "whisper-1")],
        [(file, "\r\n\r\n--XY"), (part, "whisper-1")], [(file, "name=\"model\"\r\n\r\nx"), (part, "whisper-1")],
    ])
    func aPartNamesIt(_ parts: [(String, String)]) {
        let body = form(parts.map { (head: $0.0, content: $0.1) })
        for type in ["multipart/form-data; boundary=XX", "Multipart/Form-Data; charset=utf-8; boundary=\"XX\""] {
            #expect(name(body.utf8, type) == "whisper-1")
        }
        #expect(name(("preamble\r\n" + body + "epilogue").utf8, "multipart/form-data; boundary=XX") == "whisper-1")
        #expect(
            name(form(parts.map { ($0.0, $0.1) }, end: " \t\r\n" + "x").utf8, "multipart/form-data; boundary=XX")
                == "whisper-1")
    }

    @Test(arguments: [
        "a\r\nb", "\r\n", "\r", "\n", "--", "-", "\r\n--", "\r\n-", "\r\n\r\n--X", "a\r\n--Xa", "\r\r\n", "a--XX",
    ])
    func aPartMayHoldAnythingButItsBoundary(_ content: String) {
        let body = form([(Self.file, content), (Self.part, content), (Self.file, content)])
        #expect(name(body.utf8, "multipart/form-data; boundary=XX") == content)
    }

    @Test(arguments: [
        "", "--XX--\r\n", "--XX\r\n", "--XX\r\n\r\nm\r\n--XX--", "--XX\r\n\(part)\r\n\r\nm",
        "--XX\r\n\(part)\r\n\r\n\r\n--XX--",
        "--XX\r\n\(part)\r\n\r\n--XX--", "--YY\r\n\(part)\r\n\r\nm\r\n--YY--",
        "--XX--\r\n--XX\r\n\(part)\r\n\r\nm\r\n--XX--", "{\"model\":\"m\"}",
        "--XX\r\n\(file)\r\n\r\nm\r\n--XX--", "--XX\r\nContent-Disposition: form-data\r\n\r\nm\r\n--XX--",
        "x--XX\r\n\(part)\r\n\r\nm\r\n--XX--",
    ])
    func otherPartsNameNone(_ body: String) {
        #expect(name(body.utf8, "multipart/form-data; boundary=XX") == nil)
    }

    @Test(arguments: [
        "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"\"",
        "multipart/mixed; boundary=XX",
    ])
    func withoutABoundaryThereAreNoParts(_ type: String) {
        #expect(name(form([(Self.part, "m")]).utf8, type) == nil)
    }

    @Test
    func aLargeFileIsPassedOver() {
        var model = BodyModel(contentType: "multipart/form-data; boundary=----WebKit1")
        model.read(Array("------WebKit1\r\n\(Self.file)\r\n\r\n".utf8).span)
        let piece = (0..<(64 << 10)).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 5) }
        for _ in 0..<16 { model.read(piece.span) }
        model.read(Array("\r\n------WebKit1\r\n\(Self.part)\r\n\r\nm\r\n------WebKit1--\r\n".utf8).span)
        #expect(model.name == "m")
    }

    @Test(arguments: [
        ("form-data; name=\"a\"", "name", "a"), ("form-data; name=a", "name", "a"),
        ("form-data;NAME = \"a\" ", "name", "a"),
        ("x; a=1; a=2", "a", "1"), ("x; a=\"b;c=d\"; c=e", "c", "e"), ("x; a=\"\\\"\\\\\"", "a", "\"\\"),
        ("x; a", "a", nil), ("", "a", nil),
        ("x;;a=1;", "a", "1"), ("a=1", "a", nil), ("x; a=\"", "a", "\""), ("x; a=", "a", ""),
    ])
    func parametersAreRead(_ field: String, _ name: String, _ value: String?) {
        #expect(FieldParameters(field)[name] == value)
    }
}
