import Foundation
import InferqCore
import InferqQueue
import InferqStore

extension Case {
    /// Queued jobs beside which the next one is claimed.
    static let depths = [1_000, 10_000, 100_000, 1_000_000]

    static let submitAlone = Case("group commit: a submit alone", times: 200) { folder, measure in
        try await RunningQueue.withNewStore(in: folder) { running in
            try await measure { times in
                for _ in 0..<times { _ = try await running.submit() }
            }
        }
    }

    static let submitOfClient = Case("group commit: a submit of a client alone", times: 200) { folder, measure in
        try await RunningQueue.withNewStore(in: folder) { running in
            try await measure { times in
                for _ in 0..<times { _ = try await running.submit(by: "erp") }
            }
        }
    }

    static let submitTogether = Case("group commit: submits, 64 at a time", times: 3_200) { folder, measure in
        try await RunningQueue.withNewStore(in: folder) { running in
            try await measure { times in try await running.submit(times, atATime: 64) }
        }
    }

    /// From the claim of a job to its stored outcome, one job after the other.
    static func claim(beside depth: Int) -> Case {
        Case("claim to outcome beside \(depth) jobs", times: 200) { folder, measure in
            let folder = folder.appending(component: "depth-\(depth)")
            try await RunningQueue.with(folder) { running in
                try await running.submit(max(0, depth - running.depth), atATime: 64)
                try await measure { times in try await running.work(times) }
            }
        }
    }
}
