package import InferqCore

/// What is known of the models, and their pause.
extension JobQueue {
    /// One model as operators see it.
    package struct ModelFigures: Sendable, Equatable {
        package enum State: String, Sendable {
            case up, loading, down, paused
            /// No longer configured, but with jobs.
            case removed
        }

        package var name: String
        package var concurrency: Int
        package var running: Int
        package var pending: Int
        package var oldestPending: Duration?
        package var state: State
        /// Since when it is in this state; nil while it is not known.
        package var since: Timestamp?
        package var trouble: Availability.Trouble?
        /// Whether calls are taken, also while the model is paused.
        package var isServerUp: Bool
    }

    /// All configured models, and those that are no longer configured and still have jobs, by name.
    ///
    /// - Parameter caller: who asks; of one who sees only its own jobs, those of others do not count.
    package func modelFigures(for caller: Caller = .anonymous, now: Moment? = nil) async throws -> [ModelFigures] {
        let now = now ?? store.clock.now
        let rows = try await store.modelRows(for: caller.view)
        return rows.compactMap { row in
            let settings = model(row.name)
            let figures = backlog.figures(of: row.name, client: caller.view, now: .now)
            guard settings != nil || figures.pending + figures.running > 0 else { return nil }
            let server = scheduler.server(of: row.name)
            let state = settings == nil ? .removed : row.isPaused ? .paused : ModelFigures.State(server.state)
            return ModelFigures(
                name: row.name,
                concurrency: settings == nil ? 0 : scheduler.slots(of: row.name),
                running: figures.running,
                pending: figures.pending,
                oldestPending: row.oldestPending.map { max(now.elapsed - $0, .zero) },
                state: state,
                since: state.isOfServer ? server.since : nil,
                trouble: server.trouble,
                isServerUp: server.state == .up
            )
        }
    }

    /// Stops or starts taking jobs of a model, across restarts; submits go on.
    ///
    /// - Returns: false when there is no such model.
    package func setPaused(_ isPaused: Bool, _ name: String) async throws -> Bool {
        guard model(name) != nil, try await store.setPaused(isPaused, name) else { return false }
        scheduler.setPaused(isPaused, name)
        return true
    }
}

extension JobQueue.ModelFigures.State {
    fileprivate init(_ state: Availability.State) {
        self =
            switch state {
            case .up: .up
            case .loading: .loading
            case .down: .down
            }
    }

    fileprivate var isOfServer: Bool {
        switch self {
        case .up, .loading, .down: true
        case .paused, .removed: false
        }
    }
}
