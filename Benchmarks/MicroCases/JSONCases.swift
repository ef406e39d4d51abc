import Foundation
import InferqCore
import InferqHTTP
import InferqQueue
import InferqStore

extension Case {
    static let json = [scanRequest, scanLayers, encodeEvents]

    /// A request as a client sends it: what is checked and found before it becomes a job.
    private static let scanRequest = Case("scanner: a request of 300 bytes", times: 20_000) { _, measure in
        let text = Samples.request
        try await measure { times in
            for _ in 0..<times { _ = try JSONScanner.members(of: text, named: ["model", "job", "model_display_name"]) }
        }
    }

    private static let scanLayers = Case("scanner: layers of 64 KiB", times: 200) { _, measure in
        let text = Samples.layers(bytes: 64 << 10)
        try await measure { times in
            for _ in 0..<times { try JSONScanner.validate(text) }
        }
    }

    /// PENDING, RUNNING and COMPLETED of a job with 2 KiB of layers, as a listener gets them.
    private static let encodeEvents = Case("events: three frames of one job", times: 2_000) { folder, measure in
        try await RunningQueue.withNewStore(in: folder, answer: Samples.layers(bytes: 2 << 10)) { running in
            let job = try await running.submit()
            try await running.work(1)
            guard let history = try await running.queue.store.history(job.key, after: 0, limit: 64) else { return }
            let output = Samples.layers(bytes: 2 << 10)
            try await measure { times in
                for _ in 0..<times { _ = EventFrames(history, output: output, isFirst: true) }
            }
        }
    }
}

enum Samples {
    static let request = Array(
        """
        {"model":"flood","model_display_name":"Flood extent, 10 m","spatial_domain":{"bbox":[11.2,47.9,11.9,48.3]},\
        "temporal_domain":[{"start":"2026-05-01T00:00:00Z","end":"2026-05-08T00:00:00Z"}],\
        "job":{"priority":5,"metadata":{"site":"Isar \\u2013 3"}},"threshold":0.35,"tiles":["32UPU","32UQU"],\
        "comment":"first pass after the rain"}
        """.utf8
    )

    /// An answer with layers of a hundred bytes each.
    static func layers(bytes: Int) -> [UInt8] {
        let layer =
            #"{"uri":"s3://out/extent.tif","display_name":"Extent","z_index":1,"bbox_pred":[11.2,47.9,11.9,48.3]}"#
        let count = max(1, bytes / (layer.utf8.count + 1))
        return Array(#"{"predicted_layers":[\#(Array(repeating: layer, count: count).joined(separator: ","))]}"#.utf8)
    }
}
