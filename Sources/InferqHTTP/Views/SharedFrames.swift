import InferqCore
import InferqQueue
import Synchronization

/// Reads and encodes a page of events once for all listeners of a job who are at the same place.
///
/// With ten thousand listeners of one job, all of them want the same bytes at the same moment.
final class SharedFrames: Sendable {
    /// Where a listener is: what it wants next depends on nothing else.
    struct Place: Hashable, Sendable {
        let key: JobKey
        let cursor: Int64
        let isFirst: Bool
    }

    /// A page that is being read, or was.
    private final class Page: Sendable {
        private struct State {
            var isThere = false
            var frames: EventFrames?
            var waiting: [CheckedContinuation<EventFrames?, Never>] = []
        }

        let place: Place
        /// The number of the job's last ring when the read began.
        let lastRing: UInt64
        private let state = Mutex(State())

        init(_ place: Place, lastRing: UInt64) {
            self.place = place
            self.lastRing = lastRing
        }

        /// What was read; nil when that failed, or there was nothing.
        var frames: EventFrames? {
            get async {
                await withCheckedContinuation { continuation in
                    let (isThere, frames) = state.withLock { state in
                        if !state.isThere { state.waiting.append(continuation) }
                        return (state.isThere, state.frames)
                    }
                    if isThere { continuation.resume(returning: frames) }
                }
            }
        }

        func finish(_ frames: EventFrames?) {
            let waiting = state.withLock { state in
                defer { state = State(isThere: true, frames: frames) }
                return state.waiting
            }
            for continuation in waiting { continuation.resume(returning: frames) }
        }
    }

    /// The listeners of one job.
    private struct Audience {
        var count = 0
        /// The newest page for those who begin, and for those who go on: the two are apart after a reconnect.
        var pages: [Bool: (page: Page, takers: Int)] = [:]

        /// - Returns: the page, and whether the caller must read it; nil when no one shares it, and it would only take
        ///   memory.
        mutating func page(at place: Place, lastRing: UInt64) -> (Page?, Bool) {
            guard count > 1 else { return (nil, true) }
            // An older page may lack what the last ring told of.
            guard let (page, takers) = pages[place.isFirst], page.place == place, page.lastRing >= lastRing else {
                let page = Page(place, lastRing: lastRing)
                pages[place.isFirst] = (page, 1)
                return (page, true)
            }
            // Once all have it, it goes.
            pages[place.isFirst] = takers + 1 < count ? (page, takers + 1) : nil
            return (page, false)
        }
    }

    private let hub: EventHub
    private let audiences = Mutex<[JobKey: Audience]>([:])

    init(hub: EventHub) {
        self.hub = hub
    }

    func join(_ key: JobKey) {
        audiences.withLock { $0[key, default: Audience()].count += 1 }
    }

    /// The last one takes the pages with it.
    func leave(_ key: JobKey) {
        audiences.withLock { audiences in
            audiences[key]?.count -= 1
            if audiences[key]?.count == 0 { audiences[key] = nil }
        }
    }

    /// The events after a listener's cursor. The listener has joined, and its bell is at the hub.
    ///
    /// - Returns: what `read` returns, for this listener or another one. It holds all events whose ring came before the
    ///   call; of later ones the listener's bell tells.
    func page(at place: Place, read: () async throws -> EventFrames?) async throws -> EventFrames? {
        let lastRing = hub.lastRing(of: place.key)
        let (page, isOurs) = audiences.withLock { audiences in
            audiences[place.key]?.page(at: place, lastRing: lastRing) ?? (nil, true)
        }
        guard let page else { return try await read() }
        // Each that shares a read that failed tries once by itself, so that one failure ends one stream.
        guard isOurs else { return if let frames = await page.frames { frames } else { try await read() } }
        do {
            let frames = try await read()
            if frames == nil { forget(page) }
            page.finish(frames)
            return frames
        } catch {
            forget(page)
            page.finish(nil)
            throw error
        }
    }

    private func forget(_ page: Page) {
        audiences.withLock { audiences in
            guard audiences[page.place.key]?.pages[page.place.isFirst]?.page === page else { return }
            audiences[page.place.key]?.pages[page.place.isFirst] = nil
        }
    }
}
