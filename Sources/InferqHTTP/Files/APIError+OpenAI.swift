import InferqCore

/// Errors of the paths that the OpenAI API has beyond calls.
extension APIError {
    static func noSuchResponse(_ id: String) -> APIError {
        APIError(.noSuchResponse, "There is no background response with the identifier \"\(id.clipped)\".")
    }

    static func fileInUse(_ id: String) -> APIError {
        APIError(.wrongState, "The file \(id) cannot be deleted: a batch that has not ended reads it.")
            .with(.xShouldRetry, "false")
    }

    static func batchOver(_ id: String, _ status: String) -> APIError {
        APIError(.wrongState, "The batch \(id) cannot be cancelled: it is \(status).").with(.xShouldRetry, "false")
    }

    static func tooManyBatches(limit: Int) -> APIError {
        APIError(.tooManyBatches, "\(limit) batches have not ended (batch.max_open); try again later.")
            .with(.retryAfter, "60")
    }

    static func noSuchBatch(_ id: String) -> APIError {
        APIError(.noSuchBatch, "There is no batch with the identifier \"\(id.clipped)\".")
    }

    static func noSuchFile(_ id: String) -> APIError {
        APIError(.noSuchFile, "There is no file with the identifier \"\(id.clipped)\".")
    }

    /// - Parameter job: the job that shows it.
    static func noResponses(_ model: String, _ status: Int, _ job: Job) -> APIError {
        var error = APIError(
            .noResponses,
            "The model server of \"\(model)\" has no \(ResponseFacts.path): it answered with status \(status)."
        )
        CallAnswer.mark(&error.headers, job, isAttached: false)
        return error.with(.xShouldRetry, "false")
    }
}
