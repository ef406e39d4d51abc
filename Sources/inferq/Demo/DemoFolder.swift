import Foundation
import Glibc

/// What a demo writes is in one folder, which goes with it.
struct DemoFolder: Sendable {
    let path: String

    /// In `TMPDIR`, or in /tmp.
    ///
    /// - Throws: ``ClientError``.
    init() throws(ClientError) {
        let parent = Environment["TMPDIR"].flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp"
        var template = Array("\(parent)/inferq-demo.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            let reason = String(cString: strerror(errno))
            throw ClientError(
                .cannotCreate, "no folder can be created in \(parent.visible()) (\(reason)); name another in TMPDIR")
        }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    /// The lines of a file that a process of ours has written; empty if there is none.
    func lines(of name: String) -> [String] {
        let bytes = try? SettingsFiles.contents(of: file(name), largest: SettingsFiles.largest)
        return String(decoding: bytes.flatMap(\.self) ?? [], as: UTF8.self).split(separator: "\n").map(String.init)
    }

    func remove() {
        // What cannot be removed is in a folder that the system clears.
        try? FileManager.default.removeItem(atPath: path)
    }
}
