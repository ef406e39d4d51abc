import Foundation
import GRDB
import TestSupport
import Testing

@testable import InferqCore
@testable import InferqStore

/// Migrations of stores that hold jobs, with the copy of the older store that each leaves behind.
@Suite(.timeLimit(.minutes(10)))
struct StoreUpgradeTests {
    private let folder: TemporaryFolder
    /// Of a store that this program has made.
    private var copy: String { "\(folder.store).schema\(Schema.version)" }
    private var draft: String { copy + ".new" }

    private static let addNote: Schema.Migration = { try $0.execute(sql: "ALTER TABLE job ADD COLUMN note TEXT") }
    private static let numberNotes: Schema.Migration = { try $0.execute(sql: "UPDATE job SET note = 'n' || key") }

    init() throws {
        folder = try TemporaryFolder()
    }

    private func leaveStore(_ count: Int64 = 300) async throws {
        try await withStore(in: folder) { store in
            for number in 0..<count { try await store.insert(.sample(number)) }
        }
    }

    /// Runs what a later version of the program would have beside its migrations of now.
    private func upgrade(_ migrations: [Schema.Migration]) throws -> StoreUpgrade? {
        try upgrade(StoreOpening.open(.sample(folder.store)), migrations)
    }

    private func upgrade(_ pool: DatabasePool, _ migrations: [Schema.Migration]) throws -> StoreUpgrade? {
        try StoreUpgrade.run(pool, path: folder.store, migrations: Schema.migrations + migrations)
    }

    private func count(_ sql: String) throws -> Int {
        let queue = try DatabaseQueue(path: folder.store)
        return try queue.read { try Int.fetchOne($0, sql: sql) ?? -1 }
    }

    private func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: path)
    }

    @Test
    func aCurrentStoreIsLeftAlone() async throws {
        try await leaveStore()
        #expect(try upgrade([]) == nil)
        #expect(!exists(copy))
    }

    @Test
    func allStepsAreTakenAndTheOlderStoreIsKept() async throws {
        try await leaveStore()
        #expect(try upgrade([Self.addNote, Self.numberNotes]) == StoreUpgrade(schema: Schema.version, copy: copy))
        #expect(try count("PRAGMA user_version") == Int(Schema.version) + 2)
        #expect(try count("SELECT count(*) FROM job WHERE note = 'n' || key") == 300)
        #expect(!exists(draft))
        // The copy is a store of this version, with every job.
        let kept = try JobStore(.sample(copy), models: [], bootID: "") { _ in }
        let jobs = try await kept.pool.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM job") }
        #expect(jobs == 300)
        await kept.close()
    }

    @Test
    func aStepIsNotTakenTwice() async throws {
        try await leaveStore()
        let pool = try StoreOpening.open(.sample(folder.store))
        let older = try upgrade(pool, [Self.addNote])
        let none = try upgrade(pool, [Self.addNote])
        let newer = try upgrade(pool, [Self.addNote, Self.numberNotes])
        #expect([older?.schema, none?.schema, newer?.schema] == [Schema.version, nil, Schema.version + 1])
    }

    @Test
    func theVersionBeforeSaysWhereItsCopyIs() async throws {
        try await leaveStore()
        _ = try upgrade([Self.addNote])
        do {
            _ = try folder.open()
            Issue.record("opened a newer store")
        } catch let error as StoreError {
            #expect(error == .newer(path: folder.store, version: Int(Schema.version) + 1, copy: copy))
            #expect("\(error)".contains(copy))
        }
    }

    @Test
    func aStepThatFailsLeavesTheStoreAsItWas() async throws {
        try await leaveStore()
        #expect(throws: DatabaseError.self) {
            _ = try upgrade([Self.addNote, { try $0.execute(sql: "UPDATE job SET priority = 1000") }])
        }
        #expect(try count("PRAGMA user_version") == Int(Schema.version))
        let store = try folder.open()
        await store.close()
    }

    @Test
    func withoutRoomForTheCopyNothingIsDone() async throws {
        try await leaveStore()
        let disk = FaultyDisk(folder)
        let pool = try StoreOpening.open(.sample(folder.store))
        disk.fail(.full, at: 5)
        #expect(throws: StoreError.full) {
            _ = try upgrade(pool, [Self.addNote])
        }
        disk.repair()
        #expect(disk.hasFailed)
        #expect(!exists(copy) && !exists(draft))
        #expect(try count("PRAGMA user_version") == Int(Schema.version))
    }

    // MARK: Schema 7, in which all short bodies lay in rows

    @Test
    func bodiesThatLieInRowsStayThereAndAreRead() async throws {
        let (input, output) = (String(repeating: "1", count: 5000), String(repeating: "2", count: 6000))
        let job = Job.sample(input: .json(input))
        try await withStore(in: folder) { store in
            try await store.insert(job)
            try await store.claim(job)
            try await store.complete(job, output)
        }
        #expect(try count("SELECT count(*) FROM body") == 2)
        try await StoreOpening.open(.sample(folder.store)).write { db in
            try db.execute(
                sql: """
                    UPDATE job SET input = (SELECT bytes FROM body WHERE place = 2 * key),
                        output = (SELECT bytes FROM body WHERE place = 2 * key + 1);
                    DROP TABLE body;
                    PRAGMA user_version = 7;
                    """)
        }
        try await withStore(in: folder) { store in
            #expect(store.recovery.upgrade == StoreUpgrade(schema: 7, copy: folder.store + ".schema7"))
            let found = try #require(try await store.job(job.id))
            #expect(found.input.content == .inline(Array(input.utf8)))
            #expect(found.output?.content == .inline(Array(output.utf8)))
        }
    }

    // MARK: Schema 6, in which SQLite gave the numbers of events

    @Test
    func theNumbersOfEventsGoOnAfterThoseOfSQLite() async throws {
        try await leaveStore(3)
        try await StoreOpening.open(.sample(folder.store)).write { db in
            let version = try Int.fetchOne(db, sql: "PRAGMA schema_version") ?? 0
            try db.execute(
                sql: """
                    PRAGMA writable_schema = ON;
                    UPDATE sqlite_schema SET sql = replace(sql, 'PRIMARY KEY,', 'PRIMARY KEY AUTOINCREMENT,')
                        WHERE name = 'event';
                    PRAGMA schema_version = \(version + 1);
                    PRAGMA writable_schema = RESET;
                    DROP TABLE body;
                    INSERT INTO event SELECT 1000, job, kind, status, at, elapsed, attempt, run_at, NULL, NULL, NULL
                        FROM event WHERE id = 1;
                    DELETE FROM event WHERE id = 1000;
                    PRAGMA user_version = 6;
                    """)
        }
        #expect(try count("SELECT seq FROM sqlite_sequence WHERE name = 'event'") == 1000)
        try await withStore(in: folder) { store in
            #expect(store.recovery.upgrade == StoreUpgrade(schema: 6, copy: folder.store + ".schema6"))
            #expect(try await store.newestEvent() == 1000)
            let next = try await store.insert(.sample(9)).lastEvent
            #expect(next == 1001)
            #expect(try await store.pool.read { try String.fetchOne($0, sql: "PRAGMA integrity_check") } == "ok")
        }
        #expect(try count("SELECT count(*) FROM sqlite_sequence WHERE name = 'event'") == 0)
        #expect(try count("SELECT count(*) FROM sqlite_schema WHERE sql LIKE '%event (%AUTOINCREMENT%'") == 0)
    }

    // MARK: Schema 4, which knew no files and no batches

    private static let removeFiles = """
        DROP TRIGGER count_line;
        DROP INDEX job_by_end;
        DROP INDEX job_of_batch;
        DROP INDEX job_of_batch_pending;
        ALTER TABLE job DROP COLUMN line;
        ALTER TABLE job DROP COLUMN batch;
        DROP TABLE batch;
        DROP TABLE upload;
        DROP TABLE body;
        CREATE INDEX job_by_end ON job (ended) WHERE ended IS NOT NULL;

        """

    @Test
    func aStoreWithoutFilesTakesThem() async throws {
        try await leaveStore(3)
        try await StoreOpening.open(.sample(folder.store)).write { db in
            try db.execute(sql: Self.removeFiles + "PRAGMA user_version = 4")
        }
        try await withStore(in: folder) { store in
            #expect(store.recovery.upgrade == StoreUpgrade(schema: 4, copy: folder.store + ".schema4"))
            let blob = try await store.blobs.store([1, 2, 3], as: .input)
            let draft = JobStore.UploadDraft(
                client: "erp", purpose: .batch, name: "a", byteCount: 3, digest: [UInt8](repeating: 0, count: 32),
                lifetime: nil)
            let upload = try await store.add(draft, in: blob)
            #expect(try await store.upload(upload.id, of: "erp") == upload)
            #expect(try await store.upload(upload.id, of: "mes") == nil)
        }
        #expect(try count("SELECT bytes FROM ended") == 512 + 3)
    }

    // MARK: Schema 3, which knew no clients

    /// Makes a store of now what the program of then had left.
    private func makeSchema3() throws {
        try StoreOpening.open(.sample(folder.store)).write(removeClients)
    }

    private func removeClients(_ db: Database) throws {
        try db.execute(
            sql: """
                \(Self.removeFiles)
                DROP INDEX job_of_client;
                DROP INDEX job_due;
                CREATE INDEX job_due ON job (model, priority DESC, key) WHERE phase = 1;
                ALTER TABLE job DROP COLUMN client;
                ALTER TABLE tombstone DROP COLUMN client;
                DROP TABLE client;
                PRAGMA user_version = 3;
                """
        )
    }

    @Test
    func aStoreWithoutClientsTakesThem() async throws {
        let key = IdempotencyKey("key", contentType: nil, query: nil, body: [])
        let deleted = Job.sample(1)
        try await withStore(in: folder) { store in
            _ = try await store.insert(.sample(0), key: key, at: .at(Job.submitted))
            for job in [deleted, .sample(2)] { try await store.insert(job) }
            try await store.change(deleted) { $0.cancel(now: .at(Job.submitted)) }
            #expect(try await store.delete(deleted.id))
        }
        try makeSchema3()
        try await withStore(in: folder) { store in
            #expect(store.recovery.upgrade == StoreUpgrade(schema: 3, copy: folder.store + ".schema3"))
            #expect(try await store.head(Job.sample(2).id)?.options.client == nil)
            let known = try await store.jobOf(key, client: ClientName.anonymous)
            #expect(known == Job.sample(0).id)
            #expect(try await store.isDeleted(deleted.id))
            #expect(try await !store.isDeleted(deleted.id, of: ClientName.anonymous))
            try await store.insert(.sample(3, client: "erp"))
            try await store.insert(.sample(4, client: ClientName.anonymous))
            var filter = JobFilter()
            filter.client = "erp"
            let listed = try await store.jobs(filter)
            #expect(listed.map(\.id) == [Job.sample(3).id])
            #expect(listed.map(\.options.client) == ["erp"])
            #expect(try await store.jobs(JobFilter()).map(\.options.client) == ["anonymous", "erp", nil, nil])
            #expect(try await store.pool.read { try String.fetchOne($0, sql: "PRAGMA integrity_check") } == "ok")
        }
        #expect(try count("PRAGMA user_version") == Int(Schema.version))
    }

    // MARK: Schema 1, which knew no calls

    /// Makes a store of now what the program of then had left.
    private func makeSchema1() throws {
        let pool = try StoreOpening.open(.sample(folder.store))
        try pool.write { db in
            try removeClients(db)
            let version = try Int.fetchOne(db, sql: "PRAGMA schema_version") ?? 0
            let triggers = try String.fetchAll(
                db, sql: "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name LIKE 'count_%'")
            for name in ["count_ended", "count_removed"] { try db.execute(sql: "DROP TRIGGER \(name)") }
            try db.execute(
                sql: """
                    DROP INDEX job_open_call;
                    ALTER TABLE job DROP COLUMN call;
                    ALTER TABLE job DROP COLUMN output_head;
                    ALTER TABLE job DROP COLUMN output_attempt;
                    ALTER TABLE job DROP COLUMN streamed;
                    DROP TABLE piece;
                    PRAGMA writable_schema = ON;
                    UPDATE sqlite_schema SET sql = replace(sql, 'phase >= 3)', 'phase = 3)') WHERE name = 'job';
                    PRAGMA schema_version = \(version + 9);
                    PRAGMA writable_schema = RESET;
                    PRAGMA user_version = 1;
                    """
            )
            for trigger in triggers {
                let older = trigger.replacing(#/\+ ifnull\(length\((NEW|OLD)\.call\), 0\) /#, with: "")
                    .replacing(#/\+ (NEW|OLD)\.streamed /#, with: "")
                    .replacing(
                        #/CASE WHEN (NEW|OLD)\.output_attempt IS NULL THEN (.*?) ELSE 0 END/#, with: { $0.output.2 })
                try db.execute(sql: older)
            }
        }
    }

    @Test
    func aStoreWithoutCallsTakesThem() async throws {
        try await withStore(in: folder) { store in
            for number in Int64(0)..<20 {
                let job = try await store.insert(.sample(number))
                if number < 10 { _ = try await store.claim(job) }
                if number < 5 { _ = try await store.complete(job) }
            }
        }
        try makeSchema1()
        #expect(throws: DatabaseError.self, "then only completed jobs had outputs") {
            try count("UPDATE job SET output_size = 1 WHERE phase = 2 RETURNING 1")
        }
        try await withStore(in: folder) { store in
            #expect(store.recovery.upgrade == StoreUpgrade(schema: 1, copy: folder.store + ".schema1"))
            let counts = try await store.pool.read { db in
                try Row.fetchAll(db, sql: "SELECT phase, count(*) FROM job GROUP BY 1 ORDER BY 1").map { $0[1] as Int }
            }
            #expect(counts == [15, 5])
            let job = try await store.insert(.call(100))
            _ = try await store.claim(job)
            let answer = Outcome.Answer(payload: .answer(404, "gone"), layers: .none)
            _ = try await store.change(job, .outcome) { job in
                try job.finish(
                    job.lease,
                    with: .failed(Failure(.httpError, "404", isRetryable: false), retryAfter: nil, answer: answer),
                    retry: .sample, jitter: 0, now: .at(Job.submitted)
                )
            }
            let stored = try #require(try await store.job(job.id))
            #expect(stored.options.call == job.options.call)
            #expect(stored.status == .failed && stored.output?.head?.status == 404)
            #expect(try await store.pool.read { try String.fetchOne($0, sql: "PRAGMA integrity_check") } == "ok")
        }
        #expect(try count("SELECT jobs FROM ended") == 6)
        #expect(try count("PRAGMA user_version") == Int(Schema.version))
    }

    @Test
    func anUpgradedStoreHasTheColumnsAndChecksOfANewOne() async throws {
        try await leaveStore(1)
        let new = try schema(of: folder.store)
        try makeSchema1()
        #expect(try schema(of: folder.store) != new)
        try await withStore(in: folder) { _ in }
        let difference = try schema(of: folder.store).symmetricDifference(new)
        #expect(difference == [])
    }

    /// What there is, without the order of columns and without comments.
    private func schema(of path: String) throws -> Set<String> {
        let queue = try DatabaseQueue(path: path)
        let statements = try queue.read { db in
            try String.fetchAll(db, sql: "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")
        }
        return Set(
            statements.flatMap { $0.split(separator: "\n") }
                .flatMap { $0.hasPrefix("  ") || $0.contains("CREATE TABLE") ? $0.split(separator: ", ") : [$0] }
                .map { $0.replacing(" STRICT", with: "").filter { !" ,();".contains($0) } }
                .filter { !$0.hasPrefix("--") && !$0.isEmpty }
        )
    }
}
