import InferqCore

/// Writes the text format of Prometheus, version 0.0.4.
struct MetricsText {
    enum Kind: String {
        case counter, gauge, histogram
    }

    typealias Labels = KeyValuePairs<String, String>

    private(set) var text = ""
    private var name = ""

    /// Begins a metric; its samples follow.
    mutating func metric(_ name: String, _ kind: Kind, _ help: String) {
        self.name = name
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n"
    }

    mutating func sample(_ value: Int, _ labels: Labels = [:]) {
        line(name, labels, String(value))
    }

    mutating func sample(_ value: Double, _ labels: Labels = [:]) {
        line(name, labels, Self.number(value))
    }

    mutating func sample(_ reading: Histogram.Reading, _ histogram: Histogram, _ labels: Labels = [:]) {
        let unit = Double(histogram.unitsPerOne)
        for (bound, count) in zip(histogram.bounds, reading.counts) {
            line(name + "_bucket", labels, String(count), le: Self.number(Double(bound) / unit))
        }
        line(name + "_bucket", labels, String(reading.count), le: "+Inf")
        line(name + "_sum", labels, Self.number(Double(reading.sum) / unit))
        line(name + "_count", labels, String(reading.count))
    }

    private mutating func line(_ name: String, _ labels: Labels, _ value: String, le: String? = nil) {
        text += name
        var pairs = labels.map { "\($0.key)=\"\(Self.escaped($0.value))\"" }
        if let le { pairs.append("le=\"\(le)\"") }
        if !pairs.isEmpty { text += "{" + pairs.joined(separator: ",") + "}" }
        text += " " + value + "\n"
    }

    private static func number(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : "\(value)"
    }

    private static func escaped(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 == 0x5C || $0 == 0x22 || $0 == 0x0A }) else { return text }
        return text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
}
