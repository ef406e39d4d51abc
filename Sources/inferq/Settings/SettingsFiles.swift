import Foundation
import Glibc
import Synchronization

/// Finds the configuration files, reads them and lays them over each other.
struct SettingsFiles: Sendable {
    /// Read first; all defaults apply if it is missing.
    var main = "/etc/inferq/inferq.toml"
    /// Its `*.toml` come after ``main``, in the order of their names.
    var folder = "/etc/inferq/conf.d"

    /// Bytes of the largest file that is read.
    static let largest = 1 << 20

    /// The files' settings as one tree. What cannot be read is reported and left out.
    ///
    /// - Parameter only: The one file to read in place of all others. It has to exist.
    func read(only: String?, problems: ProblemList) -> SettingsNode {
        var tree = SettingsNode(value: .table([:]), file: only ?? main)
        for path in only.map({ [$0] }) ?? found(problems) {
            do throws(SettingsProblem) {
                if let node = try Self.node(at: path) {
                    tree.merge(node)
                } else if only != nil {
                    throw SettingsProblem(path, Refusal("there is no such file", "create it or name another one"))
                }
            } catch {
                problems.add(error)
            }
        }
        return tree
    }

    private func found(_ problems: ProblemList) -> [String] {
        [main] + (Self.names(in: folder, problems: problems) ?? []).map { "\(folder)/\($0)" }
    }

    /// The names of a folder's files that are read, in their order; nil if there is no such folder.
    static func names(in folder: String, problems: ProblemList) -> [String]? {
        var names: [String] = []
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: folder)
        } catch let error as CocoaError where error.code == .fileReadNoSuchFile {
            return nil
        } catch {
            problems.add(SettingsProblem(folder, Refusal("the folder cannot be read", "check its permissions")))
        }
        names = names.filter { $0.hasSuffix(".toml") && !$0.hasPrefix(".") }
        // By bytes, as the C locale sorts: the same order on every host.
        names.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        return names
    }

    /// The settings of one file; nil if there is no such file.
    static func node(at path: String) throws(SettingsProblem) -> SettingsNode? {
        let bytes: [UInt8]
        do throws(Refusal) {
            guard let content = try contents(of: path, largest: largest) else { return nil }
            bytes = content
        } catch {
            throw SettingsProblem(path, error)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw SettingsProblem(path, Refusal("is not UTF-8", "save it as UTF-8"))
        }
        if let known = parsed.withLock({ $0[path] }), known.text == text { return try known.outcome.get() }
        let outcome: Result<SettingsNode, SettingsProblem>
        do throws(SettingsProblem) {
            outcome = .success(try TOMLDocument.parse(text, from: path))
        } catch {
            outcome = .failure(error)
        }
        parsed.withLock { known in
            if known.count >= mostKnown { known.removeAll() }
            known[path] = (text, outcome)
        }
        return try outcome.get()
    }

    /// More files than anybody has, one for each client among them.
    private static let mostKnown = 4096

    /// TOMLKit never frees a document. A gateway that waits for a mended configuration reads it again every few
    /// seconds; unchanged text is therefore not parsed again.
    private static let parsed = Mutex<[String: (text: String, outcome: Result<SettingsNode, SettingsProblem>)]>([:])

    /// The bytes of a file, nil if it does not exist.
    static func contents(of path: String, largest: Int) throws(Refusal) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw unreadable(errno)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw unreadable(errno) }
        guard status.st_mode & S_IFMT != S_IFDIR else {
            throw Refusal("is a folder, not a file", "name a file")
        }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while bytes.count <= largest {
            let count = Glibc.read(descriptor, &piece, piece.count)
            if count == 0 { return bytes }
            if count < 0 && errno != EINTR { throw unreadable(errno) }
            bytes.append(contentsOf: piece.prefix(max(0, count)))
        }
        throw Refusal("is larger than \(largest >> 10) KiB", "make it smaller")
    }

    private static func unreadable(_ code: Int32) -> Refusal {
        Refusal("cannot be read (\(String(cString: strerror(code))))", "check the path and its permissions")
    }
}
