import InferqCore
import Testing

@Suite(.timeLimit(.minutes(10)))
struct BellTests {
    @Test
    func aRingBeforeTheWaitIsKept() async {
        let bell = Bell()
        bell.ring(.event)
        #expect(await bell.wait() == .event)
    }

    @Test
    func ringsThatNobodyWaitedForAreMerged() async {
        let bell = Bell()
        bell.ring(.event)
        bell.ring(.deadline)
        bell.ring(.event)
        #expect(await bell.wait() == [.event, .deadline])
    }

    @Test
    func aRingIsHeardOnce() async {
        let bell = Bell()
        bell.ring(.event)
        _ = await bell.wait()
        bell.ring(.hangUp)
        #expect(await bell.wait() == .hangUp)
    }

    @Test
    func aRingWakesWhoWaits() async {
        let bell = Bell()
        async let rung = bell.wait()
        await Task.yield()
        bell.ring(.event)
        #expect(await rung == .event)
    }

    @Test
    func aCancelledWaitRingsStop() async {
        let bell = Bell()
        let rung = await withTaskGroup(of: Bell.Rings.self) { group in
            group.addTask { await bell.wait() }
            await Task.yield()
            group.cancelAll()
            return await group.next()
        }
        #expect(rung == .stop)
    }

    /// One rings, one waits, as fast as they can: every ring is heard, alone or merged with others.
    @Test
    func noOrderOfRingingAndWaitingLosesTheLastRing() async {
        for _ in 0..<500 {
            let bell = Bell()
            let heard = await withTaskGroup(of: Bell.Rings.self) { group in
                group.addTask {
                    var heard: Bell.Rings = []
                    while !heard.contains(.stop) { heard.formUnion(await bell.wait()) }
                    return heard
                }
                group.addTask {
                    bell.ring(.event)
                    bell.ring(.deadline)
                    bell.ring(.stop)
                    return []
                }
                return await group.reduce(into: Bell.Rings()) { $0.formUnion($1) }
            }
            #expect(heard == [.event, .deadline, .stop])
        }
    }
}
