import Testing

@testable import inferq

struct TableTests {
    private var jobs: Table {
        var table = Table(columns: [
            .init(title: "ID"), .init(title: "AGE", isNumber: true, rank: 2),
            .init(title: "NOTE", isElastic: true, rank: 4),
        ])
        table.rows = [
            ["a1", "5 s", "http_error: the model server answered 500"],
            [.init("a22", .red), "12 min", ""],
        ]
        return table
    }

    private func lines(_ width: Int?) -> [String] {
        jobs.lines(width: width, isColored: false)
    }

    @Test
    func aPipeGetsEverything() {
        #expect(
            lines(nil) == [
                "ID      AGE  NOTE",
                "a1      5 s  http_error: the model server answered 500",
                "a22  12 min",
            ])
    }

    @Test
    func aNarrowTerminalCutsWhatIsElastic() {
        #expect(lines(30)[1] == "a1      5 s  http_error: the …")
        #expect(lines(25)[1] == "a1      5 s  http_error:…")
    }

    @Test
    func aNarrowerOneDropsColumnsByTheirRank() {
        #expect(lines(24) == ["ID      AGE", "a1      5 s", "a22  12 min"])
        #expect(lines(10) == ["ID", "a1", "a22"])
        #expect(lines(1) == ["ID", "a1", "a22"])
    }

    @Test
    func everyLineFitsAnyWidth() {
        for width in 3...60 {
            for line in lines(width) { #expect(line.columns <= width, "\(width): \(line)") }
        }
    }

    @Test
    func coloursDoNotMoveColumns() {
        let coloured = jobs.lines(width: nil, isColored: true)
        #expect(coloured[2] == "\u{1B}[31ma22\u{1B}[0m  12 min")
    }

    @Test
    func controlCharactersAreVisible() {
        #expect(Table.Cell("a\u{1B}[2Jb\n").text == "a\\u001b[2Jb\\n")
    }

    @Test(arguments: [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語", 5, "日本…"), ("日本語", 6, "日本語")])
    func whatDoesNotFitEndsInAnEllipsis(_ text: String, _ width: Int, _ shown: String) {
        #expect(text.fitted(to: width) == shown)
    }

    @Test(arguments: [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (10 << 20, "10 MiB"), (5 << 40, "5.0 TiB"),
    ])
    func bytes(_ count: Int, _ text: String) {
        #expect(Amount.bytes(count) == text)
    }

    @Test(arguments: [(-1.0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 d")])
    func ages(_ seconds: Double, _ text: String) {
        #expect(Amount.age(seconds) == text)
    }

    @Test(arguments: [(0.0, "0/s"), (0.254, "0.25/s"), (3.5, "3.50/s"), (9.999, "10/s"), (120.4, "120/s")])
    func rates(_ rate: Double, _ text: String) {
        #expect(Amount.rate(rate) == text)
    }
}
