/// Bytes of an answer as they were committed: what listeners see of a stream at a time.
package struct Piece: Sendable, Equatable {
    /// Among those of its attempt; the first is 1.
    package let number: Int
    /// Bytes of the attempt's answer before it.
    package let start: Int
    package let bytes: [UInt8]
    /// Of the first piece alone.
    package let head: StreamHead?

    package init(number: Int, start: Int, bytes: [UInt8], head: StreamHead?) {
        self.number = number
        self.start = start
        self.bytes = bytes
        self.head = head
    }

    /// Bytes of the largest one. In an event it is a line of JSON, in base64 if need be, and that stays under the 64 KiB
    /// that every client takes.
    package static let limit = 40 << 10
}

/// How far an attempt's answer has come.
package struct StreamReach: Sendable, Equatable {
    package let attempt: Int
    package let byteCount: Int
    package let pieceCount: Int

    package init(attempt: Int, byteCount: Int, pieceCount: Int) {
        self.attempt = attempt
        self.byteCount = byteCount
        self.pieceCount = pieceCount
    }

    /// An answer that ends with this piece.
    package init(attempt: Int, endingWith piece: Piece) {
        self.init(attempt: attempt, byteCount: piece.start + piece.bytes.count, pieceCount: piece.number)
    }

    /// `{"attempt", "bytes", "pieces"}`, as clients see it.
    package func write(to writer: inout JSONWriter) {
        writer.beginObject()
        writer.name("attempt")
        writer.value(attempt)
        writer.name("bytes")
        writer.value(byteCount)
        writer.name("pieces")
        writer.value(pieceCount)
        writer.endObject()
    }

    /// What ``write(to:)`` writes, by itself.
    package var json: [UInt8] {
        var writer = JSONWriter(capacity: 64)
        write(to: &writer)
        return writer.bytes
    }
}

/// What the head of an answer says that is stored while its body still comes.
package struct StreamHead: Sendable, Equatable {
    package let contentType: String?
    /// Nil: the bytes are as their type says.
    package let contentEncoding: String?
    /// Of the answer to a call.
    package let answer: AnswerHead?

    package init(contentType: String?, contentEncoding: String?, answer: AnswerHead?) {
        self.contentType = contentType
        self.contentEncoding = contentEncoding
        self.answer = answer
    }
}

/// The pieces of one attempt, as they are in the store.
package struct PieceRun: Sendable, Hashable {
    package let job: JobKey
    package let attempt: Int

    package init(job: JobKey, attempt: Int) {
        self.job = job
        self.attempt = attempt
    }
}

// MARK: Stored form

extension StreamHead {
    /// Compact ASCII JSON.
    package var json: [UInt8] {
        var writer = JSONWriter(capacity: 192)
        writer.beginObject()
        if let contentType {
            writer.name("type")
            writer.value(contentType)
        }
        if let contentEncoding {
            writer.name("encoding")
            writer.value(contentEncoding)
        }
        if let answer {
            writer.name("answer")
            writer.raw(answer.json)
        }
        writer.endObject()
        return writer.bytes
    }

    /// Reads what ``json`` wrote; of anything else nothing.
    package init(json bytes: [UInt8]) {
        let members = StoredMembers(bytes)
        self.init(
            contentType: members.text("type"), contentEncoding: members.text("encoding"),
            answer: members.object("answer").flatMap(AnswerHead.init(json:)))
    }
}
