import GRDB

/// The tables of files and batches.
extension Schema {
    /// Batches: what is left to do of each stands here, so that any process can go on with it.
    static let batches = """
        CREATE TABLE batch (
            key INTEGER PRIMARY KEY,
            id BLOB NOT NULL CHECK (length(id) = 16),
            client INTEGER NOT NULL REFERENCES client (id),
            endpoint TEXT NOT NULL,
            input BLOB NOT NULL,
            input_key INTEGER NOT NULL,
            metadata BLOB NOT NULL,
            time_window INTEGER NOT NULL,
            lifetime INTEGER,
            created_at INTEGER NOT NULL,
            expires_at INTEGER NOT NULL,
            expiry INTEGER NOT NULL,
            -- 0 validating, 1 in progress, 2 finalizing, 3 cancelling, 4 completed, 5 failed, 6 expired, 7 cancelled
            state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 7),
            ending INTEGER NOT NULL CHECK (ending BETWEEN 4 AND 7),
            -- JSON: milliseconds by the wall clock, by the state that began then
            times TEXT NOT NULL,
            total INTEGER NOT NULL DEFAULT 0,
            -- lines and bytes of the input that were read, and jobs that were made of them
            line INTEGER NOT NULL DEFAULT 0,
            place INTEGER NOT NULL DEFAULT 0,
            jobs INTEGER NOT NULL DEFAULT 0,
            -- of those; a trigger counts them
            ended_lines INTEGER NOT NULL DEFAULT 0,
            completed INTEGER NOT NULL DEFAULT 0,
            failed INTEGER NOT NULL DEFAULT 0,
            output BLOB,
            errors BLOB,
            problems BLOB,
            usage BLOB,
            -- by the store's own clock
            ended INTEGER CHECK ((ended IS NULL) = (state < 4))
        ) STRICT;

        CREATE INDEX batch_of_client ON batch (client, key);
        CREATE INDEX batch_open ON batch (input_key) WHERE state < 4;
        CREATE INDEX batch_by_end ON batch (ended) WHERE ended IS NOT NULL;
        CREATE UNIQUE INDEX job_of_batch ON job (batch, line) WHERE batch IS NOT NULL;
        CREATE INDEX job_of_batch_pending ON job (batch) WHERE batch IS NOT NULL AND phase < 2;

        CREATE TRIGGER count_line AFTER UPDATE OF phase ON job
        WHEN NEW.batch IS NOT NULL AND NEW.phase >= 3 AND OLD.phase < 3 BEGIN
            UPDATE batch SET ended_lines = ended_lines + 1, completed = completed + (NEW.phase = 3),
                failed = failed + (NEW.phase = 4) WHERE key = NEW.batch AND state < 4;
        END;
        """

    /// Files of the OpenAI API. The triggers count their bytes among those of ended jobs, so that one bound holds for both.
    static let uploads = """
        CREATE TABLE upload (
            key INTEGER PRIMARY KEY,
            id BLOB NOT NULL CHECK (length(id) = 16),
            client INTEGER NOT NULL REFERENCES client (id),
            -- 0 batch, 1 batch_output
            purpose INTEGER NOT NULL,
            name TEXT NOT NULL,
            size INTEGER NOT NULL CHECK (size >= 0),
            -- *_at: by the wall clock, as they are shown; since, expiry: by the store's own clock
            created_at INTEGER NOT NULL,
            expires_at INTEGER,
            since INTEGER NOT NULL,
            expiry INTEGER CHECK ((expiry IS NULL) = (expires_at IS NULL)),
            blob TEXT NOT NULL UNIQUE,
            digest BLOB NOT NULL CHECK (length(digest) = 32)
        ) STRICT;

        CREATE INDEX upload_of_client ON upload (client, key);
        CREATE INDEX upload_by_age ON upload (since);
        CREATE INDEX upload_expiring ON upload (expiry) WHERE expiry IS NOT NULL;

        CREATE TRIGGER count_upload AFTER INSERT ON upload BEGIN
            UPDATE ended SET bytes = bytes + \(sizeOfUpload("NEW")) WHERE one = 1;
        END;

        CREATE TRIGGER count_upload_removed AFTER DELETE ON upload BEGIN
            UPDATE ended SET bytes = bytes - \(sizeOfUpload("OLD")) WHERE one = 1;
        END;
        """

    /// What a file takes in the store, in bytes; the first term stands for the row.
    static func sizeOfUpload(_ upload: String) -> String { "(512 + \(upload).size)" }

    static func addUploads(_ db: Database) throws {
        try db.execute(sql: uploads)
    }

    /// Lines of batches go with their batches.
    static let endIndex = "CREATE INDEX job_by_end ON job (ended) WHERE ended IS NOT NULL AND batch IS NULL;"

    static func addBatches(_ db: Database) throws {
        try db.execute(
            sql: """
                ALTER TABLE job ADD COLUMN batch INTEGER;
                ALTER TABLE job ADD COLUMN line INTEGER CHECK ((line IS NULL) = (batch IS NULL));
                \(batches)
                DROP INDEX job_by_end;
                \(endIndex)
                """
        )
    }
}
