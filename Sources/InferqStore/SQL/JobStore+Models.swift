import GRDB
package import InferqCore

/// The models as the store knows them.
extension JobStore {
    package struct ModelRow: Sendable {
        package let name: String
        package let isPaused: Bool
        package let oldestPending: Elapsed?
    }

    /// Every model that the store knows, by name.
    ///
    /// - Parameter client: whose oldest job is meant; nil: everyone's.
    package func modelRows(for client: String? = nil) async throws -> [ModelRow] {
        let owner = client.map(names.clients.id)
        return try await scan { db in
            try SQL.models(db).map { model in
                // One that has had no job has no oldest one.
                let isNobody = owner.map { $0 == nil } ?? false
                return ModelRow(
                    name: model.name,
                    isPaused: model.isPaused,
                    oldestPending: isNobody ? nil : try SQL.oldestPending(db, model: model.id, of: owner ?? nil)
                )
            }.sorted { $0.name < $1.name }
        }
    }

    /// - Returns: false when the store does not know the model.
    package func setPaused(_ isPaused: Bool, _ name: String) async throws -> Bool {
        guard let id = names.models.id(of: name) else { return false }
        try await commits.perform(.change) { db in try SQL.setPaused(db, isPaused, model: id) }
        return true
    }

    /// Models that are paused: read at the start.
    package func pausedModels() throws -> [String] {
        try readAtStart { db in try SQL.models(db).filter(\.isPaused).map(\.name) }
    }
}
