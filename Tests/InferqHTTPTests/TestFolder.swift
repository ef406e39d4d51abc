import Foundation

/// A folder of its own, which goes with its last reference.
final class TestFolder: Sendable {
    let path = NSTemporaryDirectory() + "inferq-" + UUID().uuidString

    init() throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        // What is left is for whoever cleans the system's temporary folder.
        try? FileManager.default.removeItem(atPath: path)
    }
}
