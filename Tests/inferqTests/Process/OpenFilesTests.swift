import InferqCore
import InferqQueue
import InferqStore
import Testing

@testable import inferq

/// The limit of open files and the number of connections.
struct OpenFilesTests {
    private static func models(_ concurrency: Int) -> [ModelSettings] {
        var model = ModelSettings(name: "ocr", url: "http://h/")
        model.concurrency = concurrency
        return [model]
    }

    @Test
    func aHighLimitLeavesTheSettingAsItIs() {
        #expect(OpenFiles.share(of: 4096, beside: Self.models(8), limit: 524_288) == (4096, 64))
    }

    @Test
    func aLowLimitLeavesRoomForTheStoreAndTheCalls() {
        let (connections, refusals) = OpenFiles.share(of: 4096, beside: Self.models(1), limit: 256, loops: 2)
        #expect(connections + refusals == 256 - 40 - 6 - 30 - 2)
        #expect(refusals >= 16)
    }

    @Test(arguments: [1, 16, 64, 100, 1024])
    func whateverTheLimitSomebodyIsServed(_ limit: Int) {
        let (connections, refusals) = OpenFiles.share(of: 4096, beside: Self.models(4096), limit: limit)
        #expect(connections >= 1 && refusals >= 1)
        #expect(connections + refusals <= max(2, limit))
    }
}
