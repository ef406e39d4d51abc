import Foundation

/// What clients see of answers that come piece by piece.
extension Wire {
    /// Bytes of the largest text: in JSON it may take six times as many, or three where it is not ASCII.
    private static let textLimit = eventLimit - 1024

    /// The data of an event with a piece of the answer: as a text if it is one, else in base64.
    static func piece(_ writer: inout JSONWriter, _ piece: Piece, attempt: Int) {
        writer.beginObject()
        writer.name("attempt")
        writer.value(attempt)
        writer.name("from")
        writer.value(piece.start)
        writer.name("to")
        writer.value(piece.start &+ piece.bytes.count)
        if let text = String(validating: piece.bytes, as: UTF8.self), fits(piece.bytes) {
            writer.name("text")
            writer.value(text)
        } else {
            writer.name("base64")
            writer.value(Data(piece.bytes).base64EncodedString())
        }
        writer.endObject()
    }

    /// Whether a text in the JSON of an event stays under the length that every client takes. Valid UTF-8.
    private static func fits(_ bytes: [UInt8]) -> Bool {
        guard bytes.count > textLimit / 6 else { return true }
        let length = bytes.reduce(0) { length, byte in
            switch byte {
            case 0x22, 0x5C: length + 2
            case 0x0A, 0x0D, 0x09: length + 2
            case 0x20..<0x7F: length + 1
            // A character of two bytes or three is one escape, of four bytes two of them.
            case 0x80..<0xC0: length
            case 0xF0...: length + 12
            default: length + 6
            }
        }
        return length <= textLimit
    }
}
