import Synchronization

/// One line of a terminal that says how a job stands, redrawn in place and taken away at the end.
final class ProgressLine: Sendable {
    /// What the line shows.
    struct Content: Sendable, Equatable {
        var status = "PENDING"
        var attempt: Int?
        var progress: Double?
        /// The last thing that was told; control characters are escaped.
        var note = ""

        mutating func take(_ event: WatchedEvent) {
            if let attempt = event.attempt, attempt > 0 {
                // Progress belongs to the attempt that made it.
                if attempt != self.attempt { progress = nil }
                self.attempt = attempt
            }
            status = event.status
            if status != "RUNNING" { progress = nil }
            if event.progress != nil || event.note != nil {
                progress = event.progress ?? progress
                note = event.note?.visible(limit: 400) ?? note
            } else {
                note = event.text
            }
        }

        func parts(elapsed: Duration) -> [String] {
            let seconds = max(0, elapsed.components.seconds)
            let clock = "\(seconds / 60):" + (seconds % 60 < 10 ? "0" : "") + "\(seconds % 60)"
            // The first attempt needs no number, nor does one that the note names.
            let number = attempt.flatMap { $0 > 1 && !note.hasPrefix("attempt ") ? "attempt \($0)" : nil }
            return [clock, number, progress.map(WatchedEvent.percent), note.isEmpty ? nil : note].compactMap(\.self)
        }
    }

    private enum State {
        case showing(Content)
        case hidden(Content)
        case finished

        var content: Content? {
            switch self {
            case .showing(let content), .hidden(let content): content
            case .finished: nil
            }
        }
    }

    private let terminal: Terminal
    private let began = ContinuousClock.now
    private let state = Mutex(State.showing(Content()))

    init(on terminal: Terminal) {
        self.terminal = terminal
    }

    func show(_ event: WatchedEvent) {
        draw { $0.take(event) }
    }

    func show(status: String, note: String) {
        draw {
            $0.status = status
            $0.note = note.visible(limit: 400)
        }
    }

    func show(note: String) {
        draw { $0.note = note.visible(limit: 400) }
    }

    /// Redraws the line every second, so that its clock runs, until it is cancelled.
    func run() async {
        while !Task.isCancelled {
            draw { _ in }
            // Cancelled: the loop ends by itself.
            try? await Task.sleep(for: .seconds(1))
        }
    }

    /// Takes the line away; it does not come back.
    func finish() {
        state.withLock { state in
            if case .showing = state { erase() }
            state = .finished
        }
    }

    /// Takes the line away until ``reveal()``.
    func hide() {
        state.withLock { state in
            guard case .showing(let content) = state else { return }
            state = .hidden(content)
            erase()
        }
    }

    func reveal() {
        state.withLock { state in
            guard case .hidden(let content) = state else { return }
            state = .showing(content)
            draw(content)
        }
    }

    /// Writes a line that stays.
    func write(above text: String) {
        state.withLock { state in
            if case .showing = state { erase() }
            terminal.write(text + "\n")
            if case .showing(let content) = state { draw(content) }
        }
    }

    private func erase() {
        terminal.write("\r\u{1B}[K")
    }

    /// Under the lock as a whole: what is drawn after ``finish()`` would stay on the terminal.
    private func draw(_ change: (inout Content) -> Void) {
        state.withLock { state in
            guard var content = state.content else { return }
            change(&content)
            if case .hidden = state {
                state = .hidden(content)
            } else {
                state = .showing(content)
                draw(content)
            }
        }
    }

    private func draw(_ content: Content) {
        let status = Terminal.padded(content.status)
        let rest = content.parts(elapsed: .now - began).joined(separator: "  ")
        // One column stays free: some terminals go to the next line when the last one is written.
        let text = Self.cut("  " + rest, to: terminal.columns - 1 - status.count)
        terminal.write("\r" + terminal.status(content.status) + text + "\u{1B}[K")
    }

    /// The beginning of the text that fits; from U+1100 on a character may take two columns.
    static func cut(_ text: String, to columns: Int) -> String {
        var left = columns
        var result = ""
        for character in text {
            left -= character.unicodeScalars.contains { $0.value >= 0x1100 } ? 2 : 1
            if left < 0 { break }
            result.append(character)
        }
        return result
    }
}
