import GRDB
package import InferqCore

// The store's part of the retention.

extension JobStore {
    /// Time that one step of giving space back takes at most.
    private static let giveBackTime = Duration.milliseconds(2)

    /// What there is to remove.
    package func outlook(_ retention: Duration) async throws -> RetentionOutlook {
        try await scan { db in try SQL.retentionOutlook(db, retention) }
    }

    /// Removes what is due, as far as one step goes, and its files.
    ///
    /// - Returns: what was removed, and how much of the writer's time that took, its sync aside.
    package func removeEnded(_ settings: RetentionSettings, now: Elapsed) async throws -> (RetentionStep, Duration) {
        let rule = RetentionRule(
            before: settings.age > .zero ? now - settings.age : nil, maxBytes: settings.maxBytes
        )
        let (step, time) = try await commits.perform(.change) { db in
            let begin = ContinuousClock.now
            return (try SQL.removeEnded(db, rule, at: now), ContinuousClock.now - begin)
        }
        // The rows are gone on disk: only now may the files go.
        for file in step.files { await blobs.remove(file) }
        return (step, time)
    }

    /// Pages that are kept free for jobs to come: to cut the file and let it grow again at once would only cost.
    package func keptPages(_ outlook: RetentionOutlook) -> Int {
        disk.isShort ? 0 : max(256, outlook.pages / 16)
    }

    /// Takes free pages off the end of the file, as far as one step goes.
    ///
    /// - Returns: how many pages that were, and how much of the writer's time that took.
    package func giveBack(_ outlook: RetentionOutlook) async throws -> (pages: Int, time: Duration) {
        let kept = keptPages(outlook)
        let (free, time) = try await commits.perform(.change) { db in
            let begin = ContinuousClock.now
            var free = Int.max
            repeat {
                try db.execute(sql: "PRAGMA incremental_vacuum(16)")
                free = try Int.fetchOne(db.cachedStatement(sql: "PRAGMA freelist_count")) ?? 0
            } while free > kept && ContinuousClock.now - begin < Self.giveBackTime
            return (free, ContinuousClock.now - begin)
        }
        // The file itself becomes shorter at a checkpoint that has nothing left to copy.
        if free <= kept { await commits.checkpointNow(.passive) }
        return (outlook.freePages - free, time)
    }
}
