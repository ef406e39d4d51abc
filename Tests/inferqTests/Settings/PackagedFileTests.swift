import Foundation
import InferqCore
import Testing

@testable import inferq

/// The file that the package installs says what the program does.
struct PackagedFileTests {
    private static let text: String = {
        let file = URL(filePath: #filePath).appending(path: "../../../../packaging/inferq.toml").standardized
        // An empty text fails every test below.
        return (try? String(contentsOf: file, encoding: .utf8)) ?? ""
    }()

    /// The file with every setting in force: `#key` and `#[table]` without their mark, `# prose` as it is.
    private static let uncommented = text.split(separator: "\n").map { line in
        line.hasPrefix("#") && !line.hasPrefix("# ") ? line.dropFirst() : line
    }
    .joined(separator: "\n")

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

    @Test(arguments: [[], ["limits"], ["store"], ["broker"], ["models", "ocr"]])
    func itShowsEveryKey(_ table: [String]) throws {
        let tree = try TOMLDocument.parse(Self.uncommented, from: "inferq.toml")
        guard case .table(let shown) = try #require(tree.value(at: table)) else {
            Issue.record("\(table) is not a table")
            return
        }
        // An unknown key far from every known one makes the reader list all that it knows.
        let path = table.joined(separator: ".")
        let header = table.isEmpty ? "" : "[\(path)]\n" + (path == "models.ocr" ? "url = \"http://h/\"\n" : "")
        let problem = try SettingsFolder(["inferq.toml": header + "zzzzzzzzzz = 1"]).problems().joined()
        let list = try #require(problem.firstRange(of: "known here: "))
        let known = problem[list.upperBound...].split(separator: ", ").map(String.init)
        #expect(shown.keys.sorted() == known)
    }
}
