import InferqCore
import InferqQueue
import InferqStore

/// Reads what records for the reference gateway's own clients are made of.
struct ReferenceRecords: Sendable {
    let gateway: Gateway

    /// - Parameter native: the record of `job` by ``Wire``, made of the same bodies.
    func record(_ native: [UInt8], of job: Job) async throws -> [UInt8] {
        ReferenceWire.record(native, try await facts(of: job, request: gateway.store.members(of: job.input)))
    }

    private func facts(of job: Job, request: RequestMembers) async throws -> ReferenceWire.Facts {
        ReferenceWire.Facts(job: job, updatedAt: try await gateway.store.updateTime(of: job), request: request)
    }

    /// A record as lists have it, without its bodies.
    ///
    /// - Parameter size: of the record. Layers of a large output are left out, and of a small record the request's
    ///   members too.
    func entry(_ job: Job, _ size: Size, for caller: Caller) async throws -> [UInt8] {
        var output: [UInt8]?
        var request = RequestMembers.leftOut
        if size == .whole {
            request = try await gateway.store.members(of: job.input)
            if let found = job.output { output = try await gateway.store.shown(found) }
        }
        let omitted: Set<String> = job.layers.isInOutput && output == nil ? ["predicted_layers"] : []
        let ahead = job.isDue ? try await gateway.queue.ahead(of: job, for: caller) : nil
        let shown = gateway.store.clock.shown(job)
        let native = Wire.record(shown, bodies: Wire.Bodies(output: output), ahead: ahead)
        return ReferenceWire.entry(native, try await facts(of: job, request: request), omitting: omitted)
    }

    enum Size: Sendable {
        case whole, small
    }
}

extension PredictedLayers {
    fileprivate var isInOutput: Bool {
        switch self {
        case .array, .object: true
        case .none, .early: false
        }
    }
}

extension JobStore {
    /// The members of a job's request.
    ///
    /// - Parameter input: of the job, read as far as it is in its row.
    /// - Throws: ``StoreError``, ``StoreError/gone`` when the job was removed meanwhile.
    func members(of input: Payload) async throws -> RequestMembers {
        guard input.isJSON, input.byteCount <= RequestMembers.largestRequest else { return .none }
        return RequestMembers(try await bytes(of: input))
    }
}
