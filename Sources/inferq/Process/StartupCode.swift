import Glibc
import InferqStore

/// The code that only the start needs: most of what a linked-in runtime touches is never called again.
enum StartupCode {
    /// Takes the program's code out of the process's resident memory. What is called again comes back from the page
    /// cache, a few microseconds for each 64 KiB; an idle gateway then holds half of what it held at its start.
    ///
    /// Code is never written, so its pages are as they are in the file.
    static func release() {
        guard let maps = KernelFile.text("/proc/self/maps") else { return }
        for line in maps.split(separator: "\n") {
            // "start-end permissions offset device inode path", proc(5).
            let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
            let bounds = fields[0].split(separator: "-").compactMap { UInt(String($0), radix: 16) }
            guard fields.count == 6, fields[1] == "r-xp", fields[5].drop(while: { $0 == " " }).hasPrefix("/"),
                bounds.count == 2, let start = UnsafeMutableRawPointer(bitPattern: bounds[0])
            else { continue }
            madvise(start, Int(bounds[1] - bounds[0]), MADV_DONTNEED)
        }
    }
}
