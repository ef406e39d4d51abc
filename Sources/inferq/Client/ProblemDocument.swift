import FoundationEssentials

/// The part of a problem document (RFC 9457) that people read.
struct ProblemDocument: Decodable {
    var title: String?
    var detail: String?

    /// The sentence of a problem document, without a full stop at its end; nil if the bytes are none.
    static func sentence(_ bytes: [UInt8]) -> String? {
        // Anything else than a problem document is no error of its own: the status is then all there is to say.
        guard let document = try? JSONDecoder().decode(ProblemDocument.self, from: Data(bytes)),
            var sentence = document.detail ?? document.title, !sentence.isEmpty
        else { return nil }
        if sentence.hasSuffix(".") { sentence.removeLast() }
        return sentence
    }
}
