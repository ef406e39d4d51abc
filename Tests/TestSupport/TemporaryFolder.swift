import Foundation

/// A folder of its own, which goes with its last reference.
package final class TemporaryFolder: Sendable {
    package let path: String

    package init() throws {
        path = NSTemporaryDirectory() + "inferq-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            // Left to anyone who cleans the system's temporary folder.
        }
    }

    /// Where a store in it lies.
    package var store: String { path + "/inferq.db" }
}
