import Benchmark
import Foundation
import MicroCases

/// Time, rate and system calls of each case: to look at while something is changed. Nothing is held against a limit
/// here, since times change with the machine; instructions are (`Benchmarks/micro.py`).
let benchmarks: @Sendable () -> Void = {
    let folder = FileManager.default.temporaryDirectory.appending(component: "inferq-micro-\(UUID().uuidString)")
    Benchmark.defaultConfiguration = Benchmark.Configuration(
        metrics: [.wallClock, .cpuTotal, .throughput, .readSyscalls, .writeSyscalls, .contextSwitches],
        warmupIterations: 1,
        maxDuration: .seconds(3),
        maxIterations: 100
    )
    for each in Case.all {
        Benchmark(each.name) { benchmark in
            // Called once, by the task that waits here for its end.
            nonisolated(unsafe) let benchmark = benchmark
            try await each.run(in: folder) { work in
                benchmark.startMeasurement()
                try await work(each.times)
                benchmark.stopMeasurement()
            }
        } teardown: {
            if FileManager.default.fileExists(atPath: folder.path) { try FileManager.default.removeItem(at: folder) }
        }
    }
}
