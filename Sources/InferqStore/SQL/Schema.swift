import GRDB
import InferqCore

/// The tables, and how an older store becomes a current one. A released migration is never edited.
enum Schema {
    /// "infq": tells the file from another program's.
    static let applicationID: Int32 = 0x696E_6671
    typealias Migration = @Sendable (Database) throws -> Void

    /// The n-th one makes a store of schema n one of schema n + 1, in a transaction of ``StoreUpgrade``; ``create(_:)``
    /// makes a new store as they would leave it.
    static let migrations: [Migration] = [
        addCalls, addStreams, addClients, addUploads, addBatches, moveEventNumbers, addBodies,
    ]
    /// Grows with every migration; a store with a larger one was written by a newer program.
    static var version: Int32 { 1 + Int32(migrations.count) }

    static func create(_ db: Database) throws {
        try db.execute(
            sql: """
                CREATE TABLE meta (
                    name TEXT PRIMARY KEY,
                    value BLOB NOT NULL
                ) STRICT, WITHOUT ROWID;

                CREATE TABLE model (
                    id INTEGER PRIMARY KEY,
                    name TEXT NOT NULL UNIQUE,
                    paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1))
                ) STRICT;

                \(clients)

                -- phase: 0 waits for run_at, 1 due, 2 running, 3 completed, 4 failed, 5 cancelled
                CREATE TABLE job (
                    key INTEGER PRIMARY KEY,
                    id BLOB NOT NULL CHECK (length(id) = 16),
                    event_id BLOB NOT NULL CHECK (length(event_id) = 16),
                    model INTEGER NOT NULL REFERENCES model (id),
                    -- null: of before there were clients
                    client INTEGER REFERENCES client (id),
                    phase INTEGER NOT NULL CHECK (phase BETWEEN 0 AND 5),
                    priority INTEGER NOT NULL CHECK (priority BETWEEN -100 AND 100),
                    -- *_at: by the wall clock, as they are shown; due, expiry, ended: by the store's own clock
                    created_at INTEGER NOT NULL,
                    run_at INTEGER NOT NULL,
                    due INTEGER,
                    expires_at INTEGER,
                    expiry INTEGER CHECK ((expiry IS NULL) = (expires_at IS NULL)),
                    timeout INTEGER CHECK (timeout > 0),
                    max_attempts INTEGER NOT NULL CHECK (max_attempts BETWEEN 1 AND 25),
                    attempt INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
                    failures INTEGER NOT NULL DEFAULT 0 CHECK (failures BETWEEN 0 AND attempt),
                    lease INTEGER NOT NULL DEFAULT 0 CHECK (lease >= attempt),
                    crashes INTEGER NOT NULL DEFAULT 0,
                    started_at INTEGER CHECK ((started_at IS NULL) = (attempt = 0)),
                    finished_at INTEGER CHECK ((finished_at IS NULL) = (phase < 3)),
                    ended INTEGER CHECK ((ended IS NULL) = (phase < 3)),
                    last_event INTEGER NOT NULL,
                    retry_of BLOB,
                    traceparent TEXT,
                    metadata BLOB,
                    -- JSON: what a client calls a model server with, beside the body
                    call BLOB,
                    -- which line of which batch it is
                    batch INTEGER,
                    line INTEGER CHECK ((line IS NULL) = (batch IS NULL)),
                    error BLOB,
                    input_type TEXT,
                    input_size INTEGER NOT NULL,
                    input_json INTEGER NOT NULL CHECK (input_json IN (0, 1)),
                    input_digest BLOB,
                    input_file TEXT,
                    output_type TEXT,
                    output_size INTEGER CHECK (output_size IS NULL OR phase >= 3),
                    -- 0 bytes, 1 JSON, 2 text
                    output_form INTEGER CHECK (output_form BETWEEN 0 AND 2),
                    output_encoding TEXT,
                    output_note TEXT,
                    -- JSON: status and header fields of the answer to a call
                    output_head BLOB,
                    -- the output is the pieces of this attempt
                    output_attempt INTEGER,
                    -- bytes that pieces take
                    streamed INTEGER NOT NULL DEFAULT 0,
                    output_digest BLOB,
                    output_file TEXT,
                    layers_from INTEGER,
                    layers_to INTEGER,
                    layers BLOB,
                    reports INTEGER NOT NULL DEFAULT 0,
                    -- bodies: short ones here, longer ones in "body"
                    input BLOB,
                    output BLOB,
                    CHECK (phase < 3 OR phase = 4 OR error IS NULL)
                ) STRICT;

                \(dueIndex)
                CREATE INDEX job_waiting ON job (run_at) WHERE phase = 0 AND due IS NULL;
                CREATE INDEX job_pausing ON job (due) WHERE phase = 0 AND due IS NOT NULL;
                CREATE INDEX job_expiring ON job (expiry)
                    WHERE expiry IS NOT NULL AND attempt = 0 AND phase < 2;
                -- every list is a merge of runs of this one
                CREATE INDEX job_listed ON job (model, phase, key);
                \(clientIndex)
                \(openCallsIndex)
                -- the sweep for orphans at the start asks for each file that there is
                CREATE INDEX job_input_file ON job (input_file) WHERE input_file IS NOT NULL;
                CREATE INDEX job_output_file ON job (output_file) WHERE output_file IS NOT NULL;

                CREATE TABLE event (
                    id INTEGER PRIMARY KEY,
                    job INTEGER NOT NULL,
                    kind INTEGER NOT NULL,
                    status INTEGER NOT NULL,
                    at INTEGER NOT NULL,
                    elapsed INTEGER NOT NULL,
                    attempt INTEGER NOT NULL,
                    run_at INTEGER NOT NULL,
                    text TEXT,
                    error BLOB,
                    detail BLOB
                ) STRICT;

                CREATE INDEX event_of_job ON event (job);

                \(bodies)

                \(pieces)

                -- a key lives as long as its job, and for a day at least unless a client deletes the job; before one
                -- of a client other than "anonymous" stand the client's number and a space, which no key has
                CREATE TABLE idempotency (
                    key TEXT PRIMARY KEY,
                    digest BLOB NOT NULL CHECK (length(digest) = 32),
                    job INTEGER NOT NULL,
                    at INTEGER NOT NULL
                ) STRICT, WITHOUT ROWID;

                -- what was deleted: clients hear 410 and not 404 for a while
                CREATE TABLE tombstone (
                    number INTEGER PRIMARY KEY AUTOINCREMENT,
                    job INTEGER NOT NULL UNIQUE,
                    id BLOB NOT NULL,
                    event_id BLOB NOT NULL,
                    client INTEGER REFERENCES client (id),
                    at INTEGER NOT NULL
                ) STRICT;

                CREATE INDEX idempotency_of_job ON idempotency (job);

                -- what deleted jobs have left behind: events that were too many for one step, keys that are too young
                CREATE TABLE leftover (
                    job INTEGER PRIMARY KEY,
                    due INTEGER NOT NULL
                ) STRICT;

                CREATE INDEX leftover_due ON leftover (due);

                -- the retention's question: which job ended first
                \(endIndex)

                -- what ended jobs and files take: the triggers keep it, so that nobody has to add up rows
                CREATE TABLE ended (
                    one INTEGER PRIMARY KEY CHECK (one = 1),
                    jobs INTEGER NOT NULL,
                    bytes INTEGER NOT NULL
                ) STRICT;

                INSERT INTO ended (one, jobs, bytes) VALUES (1, 0, 0);

                -- from which keys on they lie ahead of the wall clock, in milliseconds: it was set back
                CREATE TABLE lead (
                    key INTEGER PRIMARY KEY,
                    milliseconds INTEGER NOT NULL CHECK (milliseconds >= 0)
                ) STRICT;

                -- attempts at workers on other hosts, for as long as they run
                CREATE TABLE elsewhere (
                    job INTEGER PRIMARY KEY,
                    lease INTEGER NOT NULL,
                    worker TEXT NOT NULL
                ) STRICT;

                CREATE TRIGGER ended_elsewhere AFTER UPDATE OF phase ON job WHEN OLD.phase = 2 AND NEW.phase <> 2 BEGIN
                    DELETE FROM elsewhere WHERE job = OLD.key;
                END;

                \(countingTriggers)

                \(uploads)

                \(batches)
                """
        )
    }

    /// The start's question: whose clients went away with the process before.
    private static let openCallsIndex = "CREATE INDEX job_open_call ON job (key) WHERE call IS NOT NULL AND phase < 3;"

    /// Whose jobs they are. A client gets its row along with its first job.
    private static let clients = """
        CREATE TABLE client (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE
        ) STRICT;

        INSERT INTO client (id, name) VALUES (\(ClientNames.anonymous), '\(ClientName.anonymous)');
        """

    /// The scheduler's question: the next due job of a model, by priority, then age, and of which clients.
    private static let dueIndex = "CREATE INDEX job_due ON job (model, priority DESC, key, client) WHERE phase = 1;"

    /// Every list of one client's jobs is a merge of runs of this one. Where all jobs are everyone's, it is empty. With the
    /// priority it tells the client's due jobs in their order as well.
    private static let clientIndex = """
        CREATE INDEX job_of_client ON job (client, model, phase, key, priority) WHERE client > \(ClientNames.anonymous);
        """

    /// Answers as they come. Their ids are of the one sequence of events, so that listeners who ask for both have one order;
    /// a table of their own keeps those who do not ask from wading through them.
    private static let pieces = """
        CREATE TABLE piece (
            id INTEGER PRIMARY KEY,
            job INTEGER NOT NULL,
            attempt INTEGER NOT NULL,
            -- of the attempt: the first is 1
            number INTEGER NOT NULL,
            -- bytes of the attempt's answer before it
            start INTEGER NOT NULL,
            at INTEGER NOT NULL,
            elapsed INTEGER NOT NULL,
            -- JSON, of the first piece: what the answer's head says
            head BLOB,
            bytes BLOB NOT NULL
        ) STRICT;

        CREATE INDEX piece_of_job ON piece (job);
        """

    private static let countingTriggers = """
        CREATE TRIGGER count_ended AFTER UPDATE OF phase ON job WHEN NEW.phase >= 3 AND OLD.phase < 3 BEGIN
            UPDATE ended SET jobs = jobs + 1, bytes = bytes + \(size("NEW")) WHERE one = 1;
        END;

        CREATE TRIGGER count_removed AFTER DELETE ON job WHEN OLD.phase >= 3 BEGIN
            UPDATE ended SET jobs = jobs - 1, bytes = bytes - \(size("OLD")) WHERE one = 1;
        END;
        """

    /// Calls: jobs that a client makes in the model server's own language. The answer of one that failed is kept.
    private static func addCalls(_ db: Database) throws {
        let version = try Int.fetchOne(db, sql: "PRAGMA schema_version") ?? 0
        // A check of a column cannot be changed by a statement. Where the rows on disk need not change for it, SQLite describes
        // this way (https://sqlite.org/lang_altertable.html, "Making Other Kinds Of Table Schema Changes"). The columns
        // come first: they are added at an offset into the text that was read before.
        try db.execute(
            sql: """
                ALTER TABLE job ADD COLUMN call BLOB;
                ALTER TABLE job ADD COLUMN output_head BLOB;
                PRAGMA writable_schema = ON;
                UPDATE sqlite_schema
                    SET sql = replace(sql, 'output_size IS NULL OR phase = 3', 'output_size IS NULL OR phase >= 3')
                    WHERE type = 'table' AND name = 'job';
                PRAGMA schema_version = \(version + 3);
                PRAGMA writable_schema = RESET;
                \(openCallsIndex)
                DROP TRIGGER count_ended;
                DROP TRIGGER count_removed;
                \(countingTriggers)
                """
        )
    }

    /// Streams: answers are stored as they come.
    private static func addStreams(_ db: Database) throws {
        try db.execute(
            sql: """
                ALTER TABLE job ADD COLUMN output_attempt INTEGER;
                ALTER TABLE job ADD COLUMN streamed INTEGER NOT NULL DEFAULT 0;
                \(pieces)
                DROP TRIGGER count_ended;
                DROP TRIGGER count_removed;
                \(countingTriggers)
                """
        )
    }

    /// Clients: each job belongs to one; those of before belong to none.
    private static func addClients(_ db: Database) throws {
        try db.execute(
            sql: """
                \(clients)
                ALTER TABLE job ADD COLUMN client INTEGER REFERENCES client (id);
                ALTER TABLE tombstone ADD COLUMN client INTEGER REFERENCES client (id);
                \(clientIndex)
                DROP INDEX job_due;
                \(dueIndex)
                """
        )
    }

    /// Bodies that would be written again with each change of their job's row.
    private static let bodies = """
        CREATE TABLE body (
            -- twice the job's key, and one more for its output
            place INTEGER PRIMARY KEY,
            bytes BLOB NOT NULL
        ) STRICT;
        """

    /// Those that are in rows already stay there.
    private static func addBodies(_ db: Database) throws {
        try db.execute(sql: bodies)
    }

    /// Numbers of events: each insert wrote the table that AUTOINCREMENT keeps, a page of each commit.
    private static func moveEventNumbers(_ db: Database) throws {
        let version = try Int.fetchOne(db, sql: "PRAGMA schema_version") ?? 0
        // As in `addCalls`: the rows on disk are the same with and without the word.
        try db.execute(
            sql: """
                INSERT INTO meta (name, value)
                    SELECT '\(SQL.lastEventNote)', CAST(CAST(seq AS TEXT) AS BLOB)
                    FROM sqlite_sequence WHERE name = 'event';
                DELETE FROM sqlite_sequence WHERE name = 'event';
                PRAGMA writable_schema = ON;
                UPDATE sqlite_schema SET sql = replace(sql, 'PRIMARY KEY AUTOINCREMENT', 'PRIMARY KEY')
                    WHERE type = 'table' AND name = 'event';
                PRAGMA schema_version = \(version + 1);
                PRAGMA writable_schema = RESET;
                """
        )
    }

    /// What a job takes in the store, in bytes: its bodies, wherever they lie, and what its events carry.
    ///
    /// The same before and after the job has ended: its final event does not count. The first term stands for the row,
    /// its entries in the indexes and three small events, as measured with a million jobs.
    static func size(_ job: String) -> String {
        """
        (1024 + \(job).input_size + \(job).streamed \
        + CASE WHEN \(job).output_attempt IS NULL THEN ifnull(\(job).output_size, 0) ELSE 0 END \
        + ifnull(length(\(job).metadata), 0) \
        + ifnull(length(\(job).call), 0) + ifnull(length(\(job).layers), 0) + ifnull(length(\(job).error), 0) \
        + CASE WHEN \(job).reports + \(job).failures = 0 THEN 0 ELSE (SELECT \
        ifnull(sum(64 + ifnull(length(detail), 0) + ifnull(length(error), 0)), 0) \
        FROM event WHERE job = \(job).key AND status < 2) END)
        """
    }
}
