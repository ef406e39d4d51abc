import InferqCore
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
            var result: Result<EventFrames?, any Error>?
            var waiting: [CheckedContinuation<EventFrames?, any Error>] = []
        }

        let place: Place
        /// The number of the job's last ring when the read began.
        let lastRing: UInt64
        private let state = Mutex(State())

        init(_ place: Place, lastRing: UInt64) {
            self.place = place
            self.lastRing = lastRing
        }

        var frames: EventFrames? {
            get async throws {
                try await withCheckedThrowingContinuation { continuation in
                    let result = state.withLock { state in
                        if state.result == nil { state.waiting.append(continuation) }
                        return state.result
                    }
                    if let result { continuation.resume(with: result) }
                }
            }
        }

        func finish(_ result: Result<EventFrames?, any Error>) {
            let waiting = state.withLock { state in
                defer { state.waiting = [] }
                state.result = result
                return state.waiting
            }
            for continuation in waiting { continuation.resume(with: result) }
        }
    }

    private let hub: EventHub
    /// The newest page of each job that several listen to.
    private let pages = Mutex<[JobKey: Page]>([:])

    init(hub: EventHub) {
        self.hub = hub
    }

    /// The events after a listener's cursor. The listener must be at the hub already.
    ///
    /// - Returns: what `read` returns, for this listener or another one. It holds all events that were committed before
    ///   the call.
    func frames(at place: Place, read: () async throws -> EventFrames?) async throws -> EventFrames? {
        let audience = hub.audience(of: place.key)
        // A page that nobody shares would only take memory.
        guard audience.count > 1 else { return try await read() }
        let (page, isOurs) = pages.withLock { pages in
            // An older page may lack what the last ring told of.
            if let page = pages[place.key], page.place == place, page.lastRing >= audience.lastRing {
                return (page, false)
            }
            let page = Page(place, lastRing: audience.lastRing)
            pages[place.key] = page
            return (page, true)
        }
        guard isOurs else { return try await page.frames }
        do {
            let frames = try await read()
            page.finish(.success(frames))
            return frames
        } catch {
            forget(page)
            page.finish(.failure(error))
            throw error
        }
    }

    /// A listener of the job has left the hub: the last one takes the page with it.
    func listenerLeft(_ key: JobKey) {
        guard hub.audience(of: key).count == 0 else { return }
        pages.withLock { $0[key] = nil }
    }

    private func forget(_ page: Page) {
        pages.withLock { pages in
            if pages[page.place.key] === page { pages[page.place.key] = nil }
        }
    }
}
