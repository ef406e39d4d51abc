import NIOCore

/// A body that is handed over as it comes.
typealias BodyParts = NIOThrowingAsyncSequenceProducer<
    ByteBuffer, any Error, NIOAsyncSequenceProducerBackPressureStrategies.HighLowWatermark, BodyDemand
>

/// Gathers the messages of one connection, of either side: those that come in one read, as nearly all do, are handed over
/// whole; the bodies of others as they come, and these are read from the socket no faster than they are taken.
///
/// Belongs to the last stage of a pipeline, on its event loop.
struct BodyGatherer<Head> {
    private enum Phase {
        case betweenMessages
        /// A head has come; its body may still come whole.
        case gathering(Head, ByteBuffer?)
        /// The head was handed over, the body goes after it.
        case streaming(BodyParts.Source)
        /// No one takes the rest of this body.
        case discarding
        case closed
    }

    private var phase = Phase.betweenMessages
    /// Of the body that is, or was last, handed over as it comes.
    private var number = 0
    /// More of the body has come than was taken.
    private var isHeld = false
    /// The channel wanted to read and was not allowed to.
    private(set) var isReadHeld = false

    mutating func head(_ head: Head) {
        if case .betweenMessages = phase { phase = .gathering(head, nil) }
    }

    mutating func body(_ bytes: ByteBuffer) {
        switch phase {
        case .gathering(let head, nil): phase = .gathering(head, bytes)
        case .gathering(let head, var gathered?):
            phase = .betweenMessages
            gathered.writeImmutableBuffer(bytes)
            phase = .gathering(head, gathered)
        case .streaming(let source): yield(bytes, to: source)
        case .betweenMessages, .discarding, .closed: break
        }
    }

    /// - Returns: the message, if it is whole; nil if its body was handed over as it came.
    mutating func end() -> (head: Head, body: ByteBuffer)? {
        switch phase {
        case .gathering(let head, let gathered):
            phase = .betweenMessages
            return (head, gathered ?? ByteBuffer())
        case .streaming(let source):
            phase = .betweenMessages
            isHeld = false
            source.finish()
        case .discarding: phase = .betweenMessages
        case .betweenMessages, .closed: break
        }
        return nil
    }

    /// Nothing more comes: a body that is handed over as it comes ends with `error`.
    mutating func close(_ error: any Error) {
        if case .streaming(let source) = phase { source.finish(error) }
        phase = .closed
    }

    // MARK: As it comes

    /// Whether there is a message to hand over before it is whole: at the end of a read, for the rest takes longer.
    var isGathering: Bool {
        if case .gathering = phase { true } else { false }
    }

    /// - Parameters:
    ///   - marks: reads that wait to be taken: no more is read at `high`, until there are `low`.
    ///   - changed: called on the event loop; passes what it gets on to ``demandChanged(_:)``.
    /// - Returns: the message that is being gathered, its body as it comes.
    mutating func handOver(
        on eventLoop: any EventLoop,
        marks: (low: Int, high: Int) = (2, 8),
        _ changed: @escaping @Sendable (BodyDemand.Change) -> Void
    ) -> (head: Head, body: BodyParts)? {
        guard case .gathering(let head, let gathered) = phase else { return nil }
        number += 1
        let parts = BodyParts.makeSequence(
            elementType: ByteBuffer.self,
            failureType: (any Error).self,
            backPressureStrategy: .init(lowWatermark: marks.low, highWatermark: marks.high),
            finishOnDeinit: true,
            delegate: BodyDemand(number: number, eventLoop: eventLoop, changed: changed)
        )
        phase = .streaming(parts.source)
        if let gathered { yield(gathered, to: parts.source) }
        return (head, parts.sequence)
    }

    private mutating func yield(_ bytes: ByteBuffer, to source: BodyParts.Source) {
        switch source.yield(bytes) {
        case .produceMore: break
        case .stopProducing: isHeld = true
        case .dropped: phase = .discarding
        }
    }

    /// - Returns: whether no one takes the rest of the body that is on its way.
    mutating func demandChanged(_ change: BodyDemand.Change) -> Bool {
        // That a body was taken may be told when the next one is on its way already: its rest must come.
        guard change.number == number else { return false }
        isHeld = false
        guard !change.isWanted else { return false }
        switch phase {
        case .streaming, .discarding:
            phase = .discarding
            return true
        case .betweenMessages, .gathering, .closed: return false
        }
    }

    // MARK: Reading no faster than is taken

    /// Whether the channel may read now; else it is to ask again when the demand has changed or there is room.
    ///
    /// - Parameter hasRoom: for the next message.
    mutating func mayRead(hasRoom: @autoclosure () -> Bool = true) -> Bool {
        isReadHeld = isHeld || !hasRoom()
        return !isReadHeld
    }
}

/// Tells a pipeline, on its event loop, whether more of a body is wanted.
struct BodyDemand: NIOAsyncSequenceProducerDelegate {
    struct Change: Sendable {
        /// Of the body.
        let number: Int
        /// False once no one takes the rest.
        let isWanted: Bool
    }

    let number: Int
    let eventLoop: any EventLoop
    let changed: @Sendable (Change) -> Void

    func produceMore() {
        eventLoop.execute { changed(Change(number: number, isWanted: true)) }
    }

    func didTerminate() {
        eventLoop.execute { changed(Change(number: number, isWanted: false)) }
    }
}
