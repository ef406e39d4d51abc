import Foundation
import Testing

@testable import inferq

/// A folder of configuration files that is gone when the test ends.
final class SettingsFolder {
    let path: String

    /// - Parameter files: Text by name; `conf.d/NAME` and `keys.d/NAME` go to those folders.
    init(_ files: [String: String] = [:]) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "inferq-settings-\(UUID().uuidString)")
        path = folder.path
        let inner = folder.appending(path: "conf.d")
        try FileManager.default.createDirectory(at: inner, withIntermediateDirectories: true)
        if files.keys.contains(where: { $0.hasPrefix("keys.d/") }) { try makeKeys() }
        for (name, text) in files { try write(name, Data(text.utf8)) }
    }

    deinit {
        // Nothing can be done about a folder that stays behind in the temporary one.
        try? FileManager.default.removeItem(atPath: path)
    }

    /// Where the settings say that keys are, once ``keysMode`` stands in a file.
    var keys: String { "\(path)/keys.d" }

    /// Settings of mode `keys`, with the folder of keys beside them.
    var keysMode: String { "[access]\nmode = \"keys\"\nkeys = \"\(keys)\"\n" }

    func makeKeys() throws {
        try FileManager.default.createDirectory(atPath: keys, withIntermediateDirectories: true)
    }

    func write(_ name: String, _ bytes: Data) throws {
        try bytes.write(to: URL(fileURLWithPath: "\(path)/\(name)"))
    }

    var files: SettingsFiles {
        SettingsFiles(main: "\(path)/inferq.toml", folder: "\(path)/conf.d")
    }

    /// The settings of this folder.
    func load(environment: [String: String] = [:], flags: SettingsFlags = SettingsFlags()) throws -> Settings {
        try Settings.load(files: files, environment: environment, flags: flags)
    }

    /// The problems of this folder as sentences, without the folder's own path; none if there are none.
    func problems(environment: [String: String] = [:], flags: SettingsFlags = SettingsFlags()) -> [String] {
        do {
            _ = try Settings.load(files: files, environment: environment, flags: flags)
            return []
        } catch {
            return error.all.map { $0.description.replacing("\(path)/", with: "") }
        }
    }
}
