import InferqCore
import Synchronization

/// What clients of calls authorize themselves with at model servers, where the configuration has that passed on: in memory
/// alone, for as long as the job has not ended.
final class Authorizations: Sendable {
    private let values = Mutex<[JobKey: String]>([:])

    func keep(_ value: String, for job: JobKey) {
        values.withLock { $0[job] = value }
    }

    func value(for job: JobKey) -> String? {
        values.withLock { $0.isEmpty ? nil : $0[job] }
    }

    func forget(_ job: JobKey) {
        values.withLock { values in
            if !values.isEmpty { values[job] = nil }
        }
    }
}
