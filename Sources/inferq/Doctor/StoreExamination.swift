import Foundation
import Glibc
import InferqStore

/// What the doctor looks at in the store: its files, its disk, and what it holds.
enum StoreExamination {
    // MARK: Files and disk

    static func files(_ store: StoreSettings) -> [Finding] {
        var store = store
        store.path = IdleStore.place(of: store.path)
        let folder = (store.path as NSString).deletingLastPathComponent
        guard let place = status(folder.isEmpty ? "." : folder) else {
            return [
                .note("store", "the folder \(folder) does not exist or cannot be read; serve creates it if it may")
            ]
        }
        var findings: [Finding] = []
        if place.st_mode & 0o077 != 0 {
            findings.append(
                .note("permissions", "others may look into \(folder), which holds what clients send; chmod 700 it"))
        }
        guard let database = status(store.path) else {
            if status(store.path + "-wal") != nil {
                let advice = "put the file back, or restore a backup"
                findings.append(.wrong("store", "\(store.path) does not exist, but its -wal file does; \(advice)"))
            } else {
                findings.append(.note("store", "\(store.path) does not exist; serve creates it when it first starts"))
            }
            return findings + [disk(store)]
        }
        if database.st_mode & 0o077 != 0 {
            findings.append(.wrong("permissions", "others may read \(store.path); chmod 600 it"))
        }
        let beside = ["-wal", "-shm", ".lock", ".ballast"].map { store.path + $0 } + [folder + "/blobs"]
        for path in beside {
            guard let other = status(path), other.st_uid != database.st_uid else { continue }
            let advice = "chown --reference=\(store.path) \(path)"
            findings.append(.wrong("permissions", "\(path) has a different owner than the database; \(advice)"))
        }
        if access(store.path, R_OK | W_OK) != 0 {
            findings.append(
                .wrong(
                    "permissions", "\(store.path) is not readable and writable by you; run this as root or as its owner"
                )
            )
        }
        if findings.isEmpty { findings.append(.ok("permissions", "only its owner has access to the store")) }
        return findings + [disk(store)]
    }

    private static func disk(_ store: StoreSettings) -> Finding {
        let free = FreeSpace.bytes(at: store.path)
        let text = "\(Amount.bytes(free)) are free"
        if free < store.minFree {
            let limit = Amount.bytes(store.minFree)
            return .wrong("disk", "\(text), less than store.min_free (\(limit)), so submits are refused; make room")
        }
        if free < 2 * store.minFree {
            return .note(
                "disk", "\(text), and submits are refused below \(Amount.bytes(store.minFree)); make room soon")
        }
        return .ok("disk", text)
    }

    private static func status(_ path: String) -> stat? {
        var status = stat()
        return stat(path, &status) == 0 ? status : nil
    }

    // MARK: Content

    /// Through the gateway if one runs, else under the store's lock.
    static func content(_ store: StoreSettings, _ gateways: LocalGateways) async throws -> [Finding] {
        do {
            return try await GatewayClient.withClient(
                of: try gateways.candidates(), try gateways.credentials(), silence: .seconds(24 * 3600)
            ) { client in
                let (check, _) = try await client.decoded(Check.self, client.get("/v1/store/check"))
                return [.ok("gateway", "it answers at \(client.address)")] + check.findings
            }
        } catch let error as ClientError where error.cause == .unreachable {
            return try await idle(store, gateways.isNamed ? error : nil)
        } catch let error as ClientError where error.status == 403 {
            return [.note("store", "the gateway runs, and its store was not checked: \(error.sentence)")]
        } catch let error as ClientError {
            return [.wrong("gateway", error.sentence)]
        }
    }

    private static func idle(_ store: StoreSettings, _ unreachable: ClientError?) async throws -> [Finding] {
        if let unreachable { return [.wrong("gateway", unreachable.sentence)] }
        guard status(store.path) != nil else { return [.note("gateway", "none runs")] }
        do {
            let check = try await IdleStore(path: store.path).check()
            let note = Finding.note("gateway", "none runs; the store was checked without one")
            return [note] + Check(check).findings
        } catch StoreError.held(let path) {
            let advice = "add a Unix socket to its setting listen, and run this again"
            return [.note("store", "a gateway holds \(path) and answers on no Unix socket known here; \(advice)")]
        } catch let error as StoreError {
            return [.wrong("store", "\(error)")]
        }
    }

    private struct Check: Decodable, Sendable {
        var problems: [String]
        var jobs: Int
        var events: Int
        var blobs: Int
        var bytes: Int

        enum CodingKeys: String, CodingKey {
            case problems, jobs, events, blobs
            case bytes = "database_bytes"
        }

        init(_ check: StoreCheck) {
            problems = check.problems
            (jobs, events, blobs, bytes) = (check.jobs, check.events, check.blobs, check.databaseBytes)
        }

        var findings: [Finding] {
            let advice = "make a copy of the folder, then restore a backup"
            guard problems.isEmpty else { return problems.map { .wrong("store", "\($0); \(advice)") } }
            return [.ok("store", "\(jobs) jobs, \(events) events, \(blobs) blobs, \(Amount.bytes(bytes)), all sound")]
        }
    }
}
