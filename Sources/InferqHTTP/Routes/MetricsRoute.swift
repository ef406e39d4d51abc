import HTTPTypes
import InferqCore
import InferqQueue
import InferqStore
import NIOCore

/// `GET /metrics`: figures for Prometheus. All of them are counters, or one look at an index for each model: the cost
/// does not grow with the number of jobs.
struct MetricsRoute: Sendable {
    let gateway: Gateway

    @Sendable func metrics(_ request: Request, _ context: GatewayContext) async throws -> Response {
        try request.checkAccepts("text/plain")
        try Query(request.query).allowOnly([])
        var text = MetricsText()
        writeBuild(&text)
        writePeers(&text)
        do {
            writeModels(&text, try await gateway.queue.modelFigures(for: .admin))
        } catch is StoreError {
            // The counters are told all the same: they are wanted most when the store does not answer.
        }
        writeJobs(&text)
        gateway.callers.metrics.write(&text)
        gateway.batchArrivals.metrics.write(&text)
        writeHTTP(&text)
        writeAccess(&text)
        writeStreams(&text)
        writeAnswers(&text)
        writeStore(&text)
        writeProcess(&text)
        return Response(
            status: .ok,
            headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8", .cacheControl: "no-store"],
            body: .bytes(ByteBuffer(string: text.text))
        )
    }

    private func writeBuild(_ text: inout MetricsText) {
        text.metric(
            "inferq_build_info", .gauge, "The running version, and the version of SQLite that it uses; always 1.")
        text.sample(1, ["version": gateway.version, "sqlite": gateway.store.recovery.sqliteVersion])
        text.metric("inferq_broker_active", .gauge, "1 for the broker that carries jobs now.")
        let active = gateway.queue.broker.state.kind
        for kind in BrokerState.Kind.allCases { text.sample(kind == active ? 1 : 0, ["kind": kind.rawValue]) }
    }

    private func writePeers(_ text: inout MetricsText) {
        let workers = gateway.peers.workers
        text.metric("inferq_workers", .gauge, "Workers on other hosts that are alive.")
        text.sample(workers.count)
        text.metric("inferq_worker_slots", .gauge, "Slots of the workers on other hosts, by model.")
        for model in gateway.queue.models {
            text.sample(workers.reduce(0) { $0 + ($1.slots[model.name] ?? 0) }, ["model": model.name])
        }
        let figures = gateway.peers.figures
        text.metric("inferq_redis_outages_total", .counter, "How often Redis went away.")
        text.sample(figures.outages)
        text.metric("inferq_redis_events_published_total", .counter, "Events that were published in Redis.")
        text.sample(figures.eventsPublished)
        text.metric(
            "inferq_redis_events_skipped_total", .counter, "Events not published: Redis was away for too many of them.")
        text.sample(figures.eventsSkipped)
        text.metric(
            "inferq_redis_refused_total", .counter, "What was found in Redis and not understood; it is ignored.")
        for what in Peers.ForeignData.allCases { text.sample(figures.refused[what] ?? 0, ["what": what.rawValue]) }
    }

    // MARK: Jobs

    private func writeModels(_ text: inout MetricsText, _ models: [JobQueue.ModelFigures]) {
        text.metric("inferq_jobs_active", .gauge, "Jobs that have not ended, by state.")
        for model in models {
            text.sample(model.pending, ["model": model.name, "state": "pending"])
            text.sample(model.running, ["model": model.name, "state": "running"])
        }
        text.metric(
            "inferq_queue_oldest_pending_seconds", .gauge,
            "Age of the oldest pending job since its submission, delayed ones included; 0 if there is none."
        )
        for model in models {
            text.sample(Double(model.oldestPending?.milliseconds ?? 0) / 1000, ["model": model.name])
        }
        text.metric("inferq_model_up", .gauge, "1 while the model server takes calls; 0 while it is down or loading.")
        for model in models { text.sample(model.isServerUp ? 1 : 0, ["model": model.name]) }
        text.metric("inferq_model_paused", .gauge, "1 while no jobs of the model are taken.")
        for model in models { text.sample(model.state == .paused ? 1 : 0, ["model": model.name]) }
        text.metric("inferq_model_concurrency", .gauge, "Attempts that may run at a time.")
        for model in models { text.sample(model.concurrency, ["model": model.name]) }
    }

    private func writeJobs(_ text: inout MetricsText) {
        let models = gateway.queue.metrics.all
        func counter(_ name: String, _ help: String, _ value: (JobMetrics.Model) -> Int) {
            text.metric(name, .counter, help)
            for (name, figures) in models { text.sample(value(figures), ["model": name]) }
        }
        func histogram(_ name: String, _ help: String, _ value: (JobMetrics.Model) -> Histogram) {
            text.metric(name, .histogram, help)
            for (name, figures) in models { text.sample(value(figures).reading, value(figures), ["model": name]) }
        }
        counter("inferq_jobs_submitted_total", "Jobs that were stored.") { $0.submitted.value }
        counter("inferq_submits_replayed_total", "Submits answered with the job of their key.") { $0.replayed.value }
        counter("inferq_submits_refused_total", "Submits that found the queue full.") { $0.refused.value }
        text.metric("inferq_jobs_finished_total", .counter, "Jobs that ended, by outcome.")
        for (name, figures) in models {
            text.sample(figures.completed.value, ["model": name, "outcome": "completed"])
            text.sample(figures.failed.value, ["model": name, "outcome": "error"])
            text.sample(figures.cancelled.value, ["model": name, "outcome": "cancelled"])
        }
        counter("inferq_attempts_started_total", "Attempts that were started.") { $0.started.value }
        counter("inferq_attempts_interrupted_total", "Attempts cut short by a stop.") { $0.interrupted.value }
        counter("inferq_retries_total", "Attempts that failed and are repeated.") { $0.retried.value }
        text.metric("inferq_failures_total", .counter, "Failed attempts, and jobs that failed without one, by cause.")
        for (name, figures) in models {
            for code in Failure.Code.allCases {
                text.sample(figures.failures[code]?.value ?? 0, ["model": name, "code": code.rawValue])
            }
        }
        histogram("inferq_queue_wait_seconds", "From a job being due to the start of its attempt.") { $0.waiting }
        histogram("inferq_attempt_duration_seconds", "From the start of an attempt to its outcome.") { $0.running }
        histogram("inferq_job_duration_seconds", "From the submission of a job to its end.") { $0.total }
        text.metric("inferq_events_total", .counter, "Events that were stored, by type.")
        // Pieces of answers are counted by themselves.
        for kind in JobEvent.Kind.allCases where kind != .output {
            text.sample(gateway.queue.metrics.eventCount(of: kind), ["detail_type": Wire.detailType(kind)])
        }
    }

    // MARK: HTTP

    private func writeHTTP(_ text: inout MetricsText) {
        let http = gateway.metrics
        text.metric(
            "inferq_http_request_duration_seconds", .histogram,
            "From the head of a request to that of its answer, by route, method and status class."
        )
        for route in http.routes {
            for (index, histogram) in route.classes.enumerated() {
                let reading = histogram.reading
                guard reading.count > 0 else { continue }
                text.sample(
                    reading, histogram, ["route": route.path, "method": route.method, "code": "\(index + 1)xx"]
                )
            }
        }
        text.metric("inferq_http_connections", .gauge, "Connections that are open.")
        text.sample(http.connections.value)
        text.metric("inferq_http_connections_accepted_total", .counter, "Connections that were accepted.")
        text.sample(http.accepted.value)
        text.metric("inferq_http_connections_refused_total", .counter, "Connections past the limit.")
        text.sample(http.refused.value)
        guard let identity = gateway.identity.current else { return }
        text.metric(
            "inferq_tls_failed_handshakes_total", .counter,
            "Connections to a TLS listener that ended before the handshake was complete.")
        text.sample(http.failedHandshakes.value)
        text.metric(
            "inferq_tls_certificate_expiry_seconds", .gauge,
            "Seconds until the certificate that clients are shown expires; negative after that.")
        text.sample(Double((identity.certificate.ends - .now).milliseconds / 1000))
    }

    private func writeAccess(_ text: inout MetricsText) {
        let metrics = gateway.access.metrics
        text.metric("inferq_auth_failures_total", .counter, "Requests refused by access control, by reason.")
        for code in AccessMetrics.reasons { text.sample(metrics.value(code), ["reason": code.rawValue]) }
    }

    private func writeStreams(_ text: inout MetricsText) {
        let streams = gateway.metrics.streams
        text.metric("inferq_sse_streams", .gauge, "Event streams that are open.")
        text.sample(streams.open.value)
        text.metric("inferq_sse_streams_opened_total", .counter, "Event streams that were opened.")
        text.sample(streams.opened.value)
        text.metric("inferq_sse_streams_closed_total", .counter, "Event streams that were closed, by reason.")
        for reason in StreamEnd.allCases { text.sample(streams.closed(reason), ["reason": reason.rawValue]) }
        text.metric("inferq_sse_events_sent_total", .counter, "Events that were written to streams.")
        text.sample(streams.events.value)
    }

    private func writeAnswers(_ text: inout MetricsText) {
        let streams = gateway.queue.streams
        let metrics = streams.metrics
        text.metric("inferq_streams_running", .gauge, "Answers that are being streamed.")
        text.sample(streams.runningCount)
        text.metric("inferq_stream_pieces_total", .counter, "Pieces of answers that were stored as they came.")
        text.sample(metrics.pieces.value)
        text.metric("inferq_stream_bytes_total", .counter, "Bytes of those pieces.")
        text.sample(metrics.bytes.value)
        text.metric(
            "inferq_stream_first_byte_seconds", .histogram,
            "From the start of an attempt to the commit of the first piece of its answer.")
        text.sample(metrics.firstByte.reading, metrics.firstByte)
        text.metric("inferq_stream_commit_seconds", .histogram, "From the cut of a piece to its commit.")
        text.sample(metrics.commit.reading, metrics.commit)
        text.metric(
            "inferq_stream_readers_cut_total", .counter,
            "Readers of answers that were cut off because they did not read.")
        text.sample(metrics.cutReaders.value)
    }

    // MARK: Store and process

    private func writeStore(_ text: inout MetricsText) {
        let commits = gateway.store.commitMetrics
        text.metric("inferq_store_commit_duration_seconds", .histogram, "One write transaction with its sync.")
        text.sample(commits.duration.reading, commits.duration)
        text.metric("inferq_store_commit_operations", .histogram, "Operations that share one write transaction.")
        text.sample(commits.operations.reading, commits.operations)
        text.metric("inferq_store_checkpoints_total", .counter, "Checkpoints of the write-ahead log.")
        text.sample(gateway.store.commitFigures.checkpoints)
        let disk = gateway.store.diskFigures
        gauge(&text, "inferq_store_bytes", "Size of the database file.", disk.database)
        gauge(&text, "inferq_store_wal_bytes", "Size of the write-ahead log.", disk.wal)
        gauge(&text, "inferq_disk_free_bytes", "Free space on the store's file system.", disk.free)
        let recovery = gateway.store.recovery
        gauge(&text, "inferq_start_interrupted_jobs", "Jobs that the start put back.", recovery.interrupted)
        gauge(&text, "inferq_start_poisoned_jobs", "Jobs that the start ended as poisoned.", recovery.poisoned)
    }

    private func writeProcess(_ text: inout MetricsText) {
        let process = ProcessFigures.current
        gauge(&text, "process_resident_memory_bytes", "Resident memory.", process.resident)
        gauge(&text, "process_virtual_memory_bytes", "Virtual memory.", process.virtual)
        gauge(&text, "process_open_fds", "File descriptors that are open.", process.openFiles)
        gauge(&text, "process_max_fds", "File descriptors that may be open.", process.maxFiles)
        text.metric("process_cpu_seconds_total", .counter, "CPU time of all threads.")
        text.sample(process.cpuSeconds)
        text.metric(
            "inferq_log_lines_dropped_total", .counter, "Lines of the log that could not be written in time.")
        text.sample(gateway.droppedLogLines.value)
        text.metric("process_start_time_seconds", .gauge, "When the process started, in seconds since 1970.")
        text.sample(Double(gateway.startedAt.milliseconds) / 1000)
    }

    private func gauge(_ text: inout MetricsText, _ name: String, _ help: String, _ value: Int?) {
        guard let value else { return }
        text.metric(name, .gauge, help)
        text.sample(value)
    }
}
