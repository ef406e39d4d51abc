import Foundation
import InferqCore
import Testing

@testable import inferq

/// The file that the package installs says what the program does.
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
}
