/// What a model server tells while it works.
package struct Report: Sendable, Equatable {
    /// A JSON object, compact and ASCII: what listeners get as the event's data.
    package var detail: [UInt8]
    /// The array of layers that it hands over, compact and ASCII; nil for mere progress.
    package var layers: [UInt8]?

    package init(detail: [UInt8], layers: [UInt8]?) {
        self.detail = detail
        self.layers = layers
    }

    /// Bytes of one `detail`: with its frame it stays under the 64 KiB that every client takes as a line.
    package static let detailLimit = 48 << 10
    /// Bytes of all layers that are handed over early in one attempt: they are in the job's row.
    package static let layersLimit = 1 << 20
}

/// Why a report was not stored.
package enum ReportRefusal: Error, Sendable, Equatable {
    /// The job has as many reports as it may have.
    case tooMany(limit: Int)
    /// The layers of the attempt together are too large.
    case tooLarge(limit: Int)
}

extension JSONScanner {
    /// Two compact arrays as one.
    static func joined(_ first: [UInt8], _ second: [UInt8]) -> [UInt8] {
        if first.count <= 2 { return second }
        if second.count <= 2 { return first }
        return first.dropLast() + [UInt8(ascii: ",")] + second.dropFirst()
    }
}
