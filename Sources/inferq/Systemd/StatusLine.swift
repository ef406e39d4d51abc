import InferqQueue

/// What `systemctl status` shows of the queue: one line.
struct StatusLine {
    let modelCount: Int
    let pending: Int
    let running: Int
    let broker: String

    init(modelCount: Int, pending: Int, running: Int, broker: String) {
        self.modelCount = modelCount
        self.pending = pending
        self.running = running
        self.broker = broker
    }

    init(of queue: JobQueue) {
        let models = queue.models
        let depths = models.map { queue.depth(of: $0.name) }
        self.init(
            modelCount: models.count,
            pending: depths.reduce(0) { $0 + $1.pending },
            running: depths.reduce(0) { $0 + $1.running },
            broker: queue.broker.state.text
        )
    }

    func text(isStopping: Bool) -> String {
        if isStopping { return "stopping: \(running) running" }
        guard modelCount > 0 else { return "no model is configured: add one in /etc/inferq/conf.d, then reload" }
        let models = modelCount == 1 ? "1 model" : "\(modelCount) models"
        return "\(running) running, \(pending) pending; \(models), broker \(broker)"
    }
}
