extension Routes {
    init(_ gateway: Gateway) {
        self.init(Self.rows(gateway), metrics: gateway.metrics)
    }

    /// Every route of the gateway, one row each.
    static func rows(_ gateway: Gateway) -> [Route] {
        let submits = SubmitRoutes(gateway: gateway)
        let reads = ReadRoutes(gateway: gateway)
        let notifications = NotificationRoutes(gateway: gateway)
        let models = ModelRoutes(gateway: gateway)
        let workers = WorkerRoutes(gateway: gateway)
        let stores = StoreRoutes(gateway: gateway)
        let operators = OperatorRoutes(gateway: gateway)
        let documents = DocumentRoutes()
        let access = AccessRoutes(gateway: gateway)
        let responses = ResponseRoutes(gateway: gateway)
        let files = FileRoutes(gateway: gateway)
        let batches = BatchRoutes(gateway: gateway)
        return [
            Route(.post, "/v1/async/inference", .submitting) { try await submits.submit($0, $1, mayWait: false) },
            Route(.post, "/v1/inference", .submitting) { try await submits.submit($0, $1, mayWait: true) },
            Route(.get, "/v1/inference", .reading, reads.list),
            Route(.get, "/v1/inference/{id}", .reading, reads.show),
            Route(.delete, "/v1/inference/{id}", .cancelling, reads.delete),
            Route(.get, "/v1/inference/{id}/input", .readingInput, reads.input),
            Route(.get, "/v1/inference/{id}/output", .reading, OutputRoute(gateway: gateway).output),
            Route(.put, "/v1/inference/{id}/output", .nothing, workers.handIn),
            Route(.post, "/v1/inference/{id}/output", .nothing, workers.handInPiece),
            Route(.post, "/v1/inference/{id}/cancel", .cancelling, reads.cancel),
            Route(.post, "/v1/inference/{id}/retry", .retrying, reads.retry),
            Route(.get, "/v1/async/notify/{event_id}", .listening, kind: .stream, NotifyRoute(gateway: gateway).listen),
            Route(.get, "/v1/events", .reading, kind: .stream, EventsRoute(gateway: gateway).listen),
            Route(.post, "/v1/notifications", .nothing, notifications.report),
            Route(.get, "/v1/notifications/{event_id}", .reading, notifications.history),
            Route(.post, "/v1/inference/{id}/ticket", .reading, access.ticket),
            Route(.get, "/v1/responses/{id}", .reading, kind: .stream, responses.show),
            Route(.delete, "/v1/responses/{id}", .cancelling, responses.delete),
            Route(.post, "/v1/responses/{id}/cancel", .cancelling, responses.cancel),
            Route(.post, "/v1/files", .submitting, files.create),
            Route(.get, "/v1/files", .reading, files.list),
            Route(.get, "/v1/files/{id}", .reading, files.show),
            Route(.get, "/v1/files/{id}/content", .reading, files.content),
            Route(.delete, "/v1/files/{id}", .cancelling, files.delete),
            Route(.post, "/v1/batches", .submitting, batches.create),
            Route(.get, "/v1/batches", .reading, batches.list),
            Route(.get, "/v1/batches/{id}", .reading, batches.show),
            Route(.post, "/v1/batches/{id}/cancel", .cancelling, batches.cancel),
            Route(.get, "/v1/me", .scope(.all), access.me),
            Route(.get, "/v1/clients", .operating, access.clients),
            Route(.post, OpenPath.session.rawValue, .nothing, access.signIn),
            Route(.delete, OpenPath.session.rawValue, .nothing, access.signOut),
            Route(.get, "/v1/models", .looking, models.list),
            Route(.get, "/v1/models/{name...}", .looking, models.show),
            Route(.post, "/v1/models/{name}/pause", .operating) { try await models.setPaused(true, $0, $1) },
            Route(.post, "/v1/models/{name}/resume", .operating) { try await models.setPaused(false, $0, $1) },
            Route(.get, "/v1/status", .looking, StatusRoute(gateway: gateway).show),
            Route(.get, "/v1/workers", .looking, workers.list),
            Route(.get, "/v1/store/check", .operating, stores.check),
            Route(.get, "/v1/store/backup", .operating, stores.backup),
            Route(.live, operators.live),
            Route(.ready, operators.ready),
            Route(.healthLive, operators.live),
            Route(.healthReady, operators.ready),
            Route(.get, "/metrics", .scope(.metrics), MetricsRoute(gateway: gateway).metrics),
            Route(.openAPI, documents.openAPI),
            Route(.page, documents.page),
        ] + ReferenceRoutes(gateway: gateway).rows
    }
}
