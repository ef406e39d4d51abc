import Dispatch
import Foundation
package import InferqCore
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// The files of bodies that are too large for a row: written and synced before the row that names them, removed with it.
package final class Blobs: Sendable {
    private let folder: String
    /// File calls block; they get threads of their own, never the cooperative pool's.
    private let queue = DispatchQueue(label: "inferq.blobs", attributes: .concurrent)

    /// Names that go when the copy that may still need them has ended; nil while nothing holds them.
    private let held = Mutex<[BlobName]?>(nil)

    /// Called when a sync has failed: nothing can be promised from then on, and it is never tried again.
    private let onFatal: @Sendable (StoreError) -> Void

    /// - Throws: ``StoreError/unusable(path:reason:)`` when the folder cannot be made.
    init(folder: String, onFatal: @escaping @Sendable (StoreError) -> Void) throws {
        self.folder = folder
        self.onFatal = onFatal
        guard mkdir(folder, 0o700) == 0 || errno == EEXIST else {
            throw StoreError.unusable(path: folder, reason: String(cString: strerror(errno)))
        }
    }

    package enum Use: String, Sendable {
        case input = "in"
        case output = "out"
    }

    /// A new, empty blob.
    ///
    /// - Throws: ``StoreError``, ``StoreError/full`` on a full disk.
    package func create(_ use: Use) async throws -> Writer {
        var random = SystemRandomNumberGenerator()
        let unique = UUIDv7(high: random.next(), low: random.next())
        let name = BlobName(text: "\(unique).\(use.rawValue)")
        return try await blocking {
            let descriptor = open(self.path(of: name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
            guard descriptor >= 0 else { throw StoreError.ofFile(errno) }
            return Writer(blobs: self, name: name, descriptor: descriptor)
        }
    }

    /// Writes all of `bytes` to a new blob and syncs it.
    package func store(_ bytes: [UInt8], as use: Use) async throws -> BlobName {
        let writer = try await create(use)
        do {
            try await writer.write(bytes)
            return try await writer.finish()
        } catch {
            await writer.abandon()
            throw error
        }
    }

    /// The same bytes under a new name, to be removed apart; they are not written again.
    package func copy(_ name: BlobName) async throws -> BlobName {
        var random = SystemRandomNumberGenerator()
        let copy = BlobName(text: "\(UUIDv7(high: random.next(), low: random.next())).\(Use.input.rawValue)")
        return try await blocking {
            guard link(self.path(of: name), self.path(of: copy)) == 0 else { throw StoreError.ofFile(errno) }
            try self.syncFolder()
            return copy
        }
    }

    /// - Throws: ``StoreError``, ``StoreError/gone`` when there is no such file.
    package func read(_ name: BlobName) async throws -> [UInt8] {
        try await blocking { try self.readNow(name) }
    }

    /// As ``read(_:)``, on the calling thread.
    func readNow(_ name: BlobName) throws -> [UInt8] {
        let descriptor = open(path(of: name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { throw StoreError.ofFile(errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw StoreError.ofFile(errno) }
        let size = Int(status.st_size)
        return try [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            while count < size, let base = buffer.baseAddress {
                let got = Glibc.read(descriptor, base + count, size - count)
                if got == 0 { break }
                if got < 0, errno != EINTR { throw StoreError.ofFile(errno) }
                count += max(got, 0)
            }
        }
    }

    /// Removes a blob whose row is gone, at once or when nothing holds it any more. One that is gone already is no
    /// error.
    package func remove(_ name: BlobName) async {
        let isHeld = held.withLock { held in
            held?.append(name)
            return held != nil
        }
        guard !isHeld else { return }
        await withCheckedContinuation { continuation in
            queue.async {
                unlink(self.path(of: name))
                continuation.resume()
            }
        }
    }

    /// Puts removals off until the hold is dropped. What a crash leaves of them, the next start sweeps as orphans.
    ///
    /// - Returns: nil when there is a hold already: one at a time, so that removals are not put off forever.
    func hold() -> Hold? {
        let isFirst = held.withLock { held in
            defer { held = held ?? [] }
            return held == nil
        }
        return isFirst ? Hold(blobs: self) : nil
    }

    private func release() {
        let names = held.withLock { held in
            defer { held = nil }
            return held ?? []
        }
        guard !names.isEmpty else { return }
        queue.async { for name in names { unlink(self.path(of: name)) } }
    }

    /// Keeps every blob that is there where it is, as long as it lives.
    final class Hold: Sendable {
        private let blobs: Blobs

        fileprivate init(blobs: Blobs) {
            self.blobs = blobs
        }

        deinit {
            blobs.release()
        }
    }

    /// Removes files that no row names: what a crash left between the file and its row. At the start only.
    ///
    /// - Returns: how many there were.
    func removeOrphans(isNamed: (BlobName) throws -> Bool) throws -> Int {
        var count = 0
        try forEach { name in
            guard try !isNamed(name) else { return }
            unlink(path(of: name))
            count += 1
        }
        return count
    }

    /// Calls `body` with each blob that is there, in no order.
    func forEach(_ body: (BlobName) throws -> Void) throws {
        guard let stream = opendir(folder) else {
            throw StoreError.unusable(path: folder, reason: String(cString: strerror(errno)))
        }
        defer { closedir(stream) }
        while let entry = readdir(stream) {
            let text = withUnsafeBytes(of: entry.pointee.d_name) { raw in
                String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard text.hasSuffix(".in") || text.hasSuffix(".out") else { continue }
            try body(BlobName(text: text))
        }
    }

    /// Makes the entries of the folder durable.
    private func syncFolder() throws {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw StoreError.ofFile(errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw failedSync(errno) }
    }

    private func failedSync(_ code: Int32) -> StoreError {
        let error = StoreError.ofFile(code)
        if error != .full { onFatal(error) }
        return error
    }

    func path(of name: BlobName) -> String {
        folder + "/" + name.text
    }

    private func blocking<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result(catching: work)) }
        }
    }

    /// One blob that is being written, by one task at a time.
    package final class Writer: Sendable {
        package let name: BlobName
        private let blobs: Blobs
        private let descriptor: Int32

        fileprivate init(blobs: Blobs, name: BlobName, descriptor: Int32) {
            self.blobs = blobs
            self.name = name
            self.descriptor = descriptor
        }

        deinit {
            close(descriptor)
        }

        package func write(_ bytes: [UInt8]) async throws {
            try await blobs.blocking { [descriptor] in
                var rest = bytes[...]
                while !rest.isEmpty {
                    let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
                    if count < 0, errno != EINTR { throw StoreError.ofFile(errno) }
                    rest = rest.dropFirst(max(count, 0))
                }
            }
        }

        /// Syncs the bytes and the folder's entry. After this a row may name the blob.
        package func finish() async throws -> BlobName {
            try await blobs.blocking { [blobs, descriptor] in
                guard fsync(descriptor) == 0 else { throw blobs.failedSync(errno) }
                try blobs.syncFolder()
            }
            return name
        }

        /// Removes what was written: no row will name it.
        package func abandon() async {
            await blobs.remove(name)
        }
    }
}
