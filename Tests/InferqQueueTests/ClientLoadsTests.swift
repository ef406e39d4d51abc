import Testing

@testable import InferqCore
@testable import InferqQueue

/// Who has how many jobs on offer or running, over what can happen to an offer.
struct ClientLoadsTests {
    private let job = (1...4).map { JobKey(value: $0) }

    private func limited(to limit: Int) -> ClientLoads {
        var loads = ClientLoads()
        loads.setLimits(["x": limit, "anonymous": 1, "z": 0])
        return loads
    }

    private func expect(_ loads: inout ClientLoads, admits job: JobKey, of client: String?) {
        let isAdmitted = loads.admits(job, of: client)
        #expect(isAdmitted)
    }

    private func expect(_ loads: inout ClientLoads, refuses job: JobKey, of client: String?) {
        let isAdmitted = loads.admits(job, of: client)
        #expect(!isAdmitted)
    }

    private func expectEnd(_ loads: inout ClientLoads, _ job: JobKey, frees client: String?) {
        let freed = loads.end(job)
        #expect(freed == client)
    }

    private func expectWithdrawal(_ loads: inout ClientLoads, _ job: JobKey, frees client: String?) {
        let freed = loads.withdraw(job)
        #expect(freed == client)
    }

    @Test
    func anOfferCountsUntilItsJobHasEnded() {
        var loads = limited(to: 1)
        loads.offer(job[0], of: "x")
        #expect(loads.isFull("x") && loads.full == ["x"])
        loads.take(job[0], wasOffered: true)
        #expect(loads.isFull("x"))
        expectEnd(&loads, job[0], frees: "x")
        #expect(!loads.isFull("x"))
        expectEnd(&loads, job[0], frees: nil)
    }

    @Test
    func anOfferThatIsTakenBackCountsNoLonger() {
        var loads = limited(to: 2)
        for job in job.prefix(2) { loads.offer(job, of: "x") }
        expectWithdrawal(&loads, job[0], frees: "x")
        expectWithdrawal(&loads, job[0], frees: nil)
        loads.take(job[1], wasOffered: true)
        // It is not on offer any more.
        expectWithdrawal(&loads, job[1], frees: nil)
        expectEnd(&loads, job[1], frees: nil)
    }

    @Test
    func aJobThatWasOfferedTwiceCountsOnce() {
        var loads = limited(to: 1)
        loads.offer(job[0], of: "x")
        loads.take(job[0], wasOffered: true)
        loads.offer(job[0], of: "x")
        loads.take(job[0], wasOffered: true)
        expectEnd(&loads, job[0], frees: nil)
        #expect(loads.isFull("x"))
        expectEnd(&loads, job[0], frees: "x")
    }

    @Test
    func whatIsTakenUnknownIsCountedOnceItsRowWasRead() {
        var loads = limited(to: 1)
        loads.take(job[0], wasOffered: false)
        #expect(!loads.isFull("x"))
        expect(&loads, admits: job[0], of: "x")
        #expect(loads.isFull("x"))
        loads.take(job[1], wasOffered: false)
        expect(&loads, refuses: job[1], of: "x")
        expectEnd(&loads, job[1], frees: nil)
        expect(&loads, admits: job[0], of: "x")
        expectEnd(&loads, job[0], frees: "x")
    }

    @Test
    func aJobThatNobodyFollowsCountsItself() {
        var loads = limited(to: 1)
        expect(&loads, admits: job[0], of: "x")
        loads.offer(job[1], of: "x")
        expect(&loads, refuses: job[0], of: "x")
    }

    @Test
    func thoseWithoutALimitAreNeverFull() {
        var loads = limited(to: 1)
        for client in ["anonymous", "y", "z", nil] {
            for job in job { loads.offer(job, of: client) }
            #expect(loads.full == [])
            for job in job { expect(&loads, admits: job, of: client) }
            for job in job { expectWithdrawal(&loads, job, frees: nil) }
        }
        loads.take(job[0], wasOffered: true)
        expectEnd(&loads, job[0], frees: nil)
    }

    @Test
    func aLimitCountsWhatRunsAlready() {
        var loads = ClientLoads()
        for job in job.prefix(3) { loads.offer(job, of: "x") }
        loads.take(job[3], of: "x")
        loads.setLimits(["x": 3])
        #expect(loads.isFull("x"))
        expect(&loads, refuses: job[0], of: "x")
        expectWithdrawal(&loads, job[0], frees: nil)
        expect(&loads, admits: job[1], of: "x")
        expectWithdrawal(&loads, job[1], frees: "x")
    }
}
