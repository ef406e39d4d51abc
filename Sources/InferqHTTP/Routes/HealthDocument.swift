import InferqCore

/// The answer of the probes. Who must show a key elsewhere hears the status alone.
struct HealthDocument {
    let isUp: Bool
    var version: String?
    var broker: String?

    var bytes: [UInt8] {
        var writer = JSONWriter()
        writer.beginObject()
        writer.name("status")
        writer.value(isUp ? "UP" : "DOWN")
        if let version {
            writer.name("version")
            writer.value(version)
        }
        if let broker {
            writer.name("broker")
            writer.value(broker)
        }
        writer.endObject()
        return writer.bytes
    }
}
