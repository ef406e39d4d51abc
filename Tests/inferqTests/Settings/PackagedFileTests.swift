import Foundation
import InferqCore
import InferqQueue
import InferqStore
import Testing

@testable import inferq

/// The file that the package installs, and docs/limits.md, say what the program does.
struct PackagedFileTests {
    private static let text = read("packaging/inferq.toml")

    /// An empty text, which fails every test below, if it cannot be read.
    private static func read(_ path: String) -> String {
        let file = URL(filePath: #filePath).appending(path: "../../../../\(path)").standardized
        return (try? String(contentsOf: file, encoding: .utf8)) ?? ""
    }

    /// The file with every setting in force: `#key` and `#[table]` without their mark, `# prose` as it is.
    private static let uncommented = text.split(separator: "\n").map { line in
        line.hasPrefix("#") && !line.hasPrefix("# ") ? line.dropFirst() : line
    }
    .joined(separator: "\n")

    private static let model = ModelSettings(name: "", url: "")

    /// Every key, as the file shows it for the model `name`.
    private static func keys(_ name: String) -> [String] {
        Settings.rows.map(\.key) + ModelSettings.rows.map { "models.\(name).\($0.key)" }
    }

    @Test
    func asInstalledItChangesNothing() throws {
        #expect(!Self.text.isEmpty)
        #expect(try SettingsFolder(["inferq.toml": Self.text]).load() == Settings())
    }

    @Test
    func theValuesThatItShowsAreTheDefaults() throws {
        var expected = Settings()
        expected.models = ["ocr": ModelSettings(name: "ocr", url: "http://127.0.0.1:9001/predict")]
        #expect(try SettingsFolder(["inferq.toml": Self.uncommented]).load() == expected)
    }

    @Test
    func itShowsEverySettingAndNothingElse() throws {
        let tree = try TOMLDocument.parse(Self.uncommented, from: "inferq.toml")
        #expect(Self.leaves(of: tree, []).sorted() == Self.keys("ocr").sorted())
    }

    /// Key paths of all values, empty tables among them.
    private static func leaves(of node: SettingsNode, _ path: [String]) -> [String] {
        guard case .table(let nodes) = node.value, !nodes.isEmpty else { return [path.joined(separator: ".")] }
        return nodes.flatMap { leaves(of: $0.value, path + [$0.key]) }
    }

    @Test
    func theExampleOfAFileOfKeysIsOne() throws {
        let folder = try SettingsFolder(["keys.d/erp.toml": Self.read("examples/keys/erp.toml")])
        let problems = ProblemList()
        let clients = KeyFolder(folder.keys).read(problems: problems).clients
        #expect(problems.all.isEmpty && clients.map(\.name) == ["erp"] && clients.map(\.keys.count) == [2])
        let shown = try TOMLDocument.parse(Self.read("examples/keys/erp.toml"), from: "")
        #expect(Self.leaves(of: shown, []).sorted() == Client.rows.map { "keys.erp.\($0.key)" }.sorted())
    }

    // MARK: docs/limits.md

    /// The cells of each line of a table that begins with a key, without the marks around code and texts.
    private static let documented: [[String]] = read("docs/limits.md").split(separator: "\n")
        .filter { $0.hasPrefix("| `") }
        .map { line in
            line.split(separator: "|").map { cell in
                cell.filter { $0 != "`" && $0 != "\"" }.trimmingCharacters(in: .whitespaces)
            }
        }

    @Test
    func theTablesNameEverySettingOnceAndNothingElse() {
        let documented = Self.documented.compactMap(\.first)
        #expect(documented.filter { !$0.hasPrefix("keys.") } == Self.keys("NAME"))
        #expect(documented.filter { $0.hasPrefix("keys.") } == Client.rows.map { "keys.NAME.\($0.key)" })
        #expect(Self.documented.allSatisfy { $0.count == 5 })
    }

    @Test(arguments: Settings.rows.map(\.key))
    func theTablesSayWhatASettingIs(_ key: String) throws {
        let row = try #require(Settings.rows.first { $0.key == key })
        try expect(key, row.text(in: Settings()), row.range, row.effect == .reload)
    }

    @Test(arguments: ModelSettings.rows.map(\.key))
    func theTablesSayWhatASettingOfAModelIs(_ key: String) throws {
        let row = try #require(ModelSettings.rows.first { $0.key == key })
        try expect("models.NAME.\(key)", row.text(in: Self.model), row.range, row.effect == .reload)
    }

    @Test(arguments: Client.rows.map(\.key))
    func theTablesSayWhatASettingOfAClientIs(_ key: String) throws {
        let row = try #require(Client.rows.first { $0.key == key })
        try expect("keys.NAME.\(key)", row.text(in: Client("")), row.range, row.effect == .reload)
    }

    /// The default, the range where a rule has one, and what a change needs.
    private func expect(_ key: String, _ value: String, _ range: String?, _ isReloaded: Bool) throws {
        let cells = try #require(Self.documented.first { $0.first == key })
        try #require(cells.count == 5)
        #expect(cells[1] == value.replacing("\"", with: ""))
        if let range { #expect(cells[2] == range.replacing("\"", with: "")) }
        #expect(cells[3] == (isReloaded ? "reload" : "restart"))
    }
}
