import FoundationEssentials

/// The part of a problem document (RFC 9457), or of an error in a model server's language, that people read.
struct ProblemDocument: Decodable {
    var title: String?
    var detail: String?
    /// In the languages of model servers, which a call is answered in.
    var error: DialectError?

    /// `{"message": "text"}` or `"text"`.
    struct DialectError: Decodable {
        let message: String?

        private enum CodingKeys: String, CodingKey {
            case message
        }

        init(from decoder: any Decoder) throws {
            if let text = try? decoder.singleValueContainer().decode(String.self) {
                message = text
            } else {
                message = try? decoder.container(keyedBy: CodingKeys.self).decode(String.self, forKey: .message)
            }
        }
    }

    /// The sentence of a problem document, without a full stop at its end; nil if the bytes are none.
    static func sentence(_ bytes: [UInt8]) -> String? {
        // Anything else than an error of a gateway is no error of its own: the status is then all there is to say.
        let document = try? JSONDecoder().decode(ProblemDocument.self, from: Data(bytes))
        guard var sentence = document?.detail ?? document?.title ?? document?.error?.message, !sentence.isEmpty else {
            return nil
        }
        if sentence.hasSuffix(".") { sentence.removeLast() }
        return sentence
    }
}
