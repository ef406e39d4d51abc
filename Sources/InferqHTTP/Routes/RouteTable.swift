extension Routes {
    /// Every route of the gateway, one row each.
    init(_ gateway: Gateway) {
        let submits = SubmitRoutes(gateway: gateway)
        let reads = ReadRoutes(gateway: gateway)
        let notifications = NotificationRoutes(gateway: gateway)
        let models = ModelRoutes(gateway: gateway)
        let workers = WorkerRoutes(gateway: gateway)
        let stores = StoreRoutes(gateway: gateway)
        let operators = OperatorRoutes(gateway: gateway)
        let documents = DocumentRoutes()
        self.init(
            [
                Route(.post, "/v1/async/inference") { try await submits.submit($0, $1, mayWait: false) },
                Route(.post, "/v1/inference") { try await submits.submit($0, $1, mayWait: true) },
                Route(.get, "/v1/inference", reads.list),
                Route(.get, "/v1/inference/{id}", reads.show),
                Route(.delete, "/v1/inference/{id}", reads.delete),
                Route(.get, "/v1/inference/{id}/input", reads.input),
                Route(.get, "/v1/inference/{id}/output", reads.output),
                Route(.put, "/v1/inference/{id}/output", workers.handIn),
                Route(.post, "/v1/inference/{id}/cancel", reads.cancel),
                Route(.post, "/v1/inference/{id}/retry", reads.retry),
                Route(.get, "/v1/async/notify/{event_id}", kind: .stream, NotifyRoute(gateway: gateway).listen),
                Route(.get, "/v1/events", kind: .stream, EventsRoute(gateway: gateway).listen),
                Route(.post, "/v1/notifications", notifications.report),
                Route(.get, "/v1/notifications/{event_id}", notifications.history),
                Route(.get, "/v1/models", models.list),
                Route(.get, "/v1/models/{name...}", models.show),
                Route(.post, "/v1/models/{name}/pause") { try await models.setPaused(true, $0, $1) },
                Route(.post, "/v1/models/{name}/resume") { try await models.setPaused(false, $0, $1) },
                Route(.get, "/v1/status", StatusRoute(gateway: gateway).show),
                Route(.get, "/v1/workers", workers.list),
                Route(.get, "/v1/store/check", stores.check),
                Route(.get, "/v1/store/backup", stores.backup),
                Route(.get, "/livez", operators.live),
                Route(.get, "/readyz", operators.ready),
                Route(.get, "/health/livez", operators.live),
                Route(.get, "/health/readyz", operators.ready),
                Route(.get, "/metrics", MetricsRoute(gateway: gateway).metrics),
                Route(.get, "/openapi.json", documents.openAPI),
                Route(.get, "/", documents.page),
            ] + ReferenceRoutes(gateway: gateway).rows,
            metrics: gateway.metrics
        )
    }
}
