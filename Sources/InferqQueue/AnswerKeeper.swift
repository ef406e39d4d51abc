import Crypto
package import InferqCore
package import InferqStore

/// Makes a model server's answer what the store keeps: large ones become a file, layers are found.
package struct AnswerKeeper: Sendable {
    private let store: JobStore

    package init(store: JobStore) {
        self.store = store
    }

    /// - Parameter run: where the pieces of an answer lie that came piece by piece.
    /// - Throws: ``StoreError``.
    package func outcome(
        _ answer: Reply.Answer, _ model: ModelSettings, _ run: PieceRun? = nil
    ) async throws -> Outcome {
        .answered(try await kept(answer, model, run))
    }

    /// The same for an answer that may be an error, as it is kept for the client of a call.
    ///
    /// - Throws: ``StoreError``.
    package func kept(
        _ answer: Reply.Answer, _ model: ModelSettings, _ run: PieceRun? = nil
    ) async throws -> Outcome.Answer {
        let answer = try await complete(answer, run)
        let bytes = answer.bytes
        let encoding = answer.contentEncoding.flatMap(Self.codings)
        let isThere = answer.stream.map { $0.byteCount == bytes.count } ?? true
        let shown = isThere ? AnswerForm(bytes, contentType: answer.contentType, encoding: encoding) : nil
        var payload = try await payload(answer, run, shown?.form ?? .bytes)
        payload.contentEncoding = encoding
        payload.note = shown?.note
        payload.head = answer.head
        let isCall = answer.head != nil
        let layers = payload.isJSON && !isCall ? found(model.layers, in: bytes) : .none
        var kept = Outcome.Answer(payload: payload, layers: layers)
        kept.rest = answer.stream?.rest
        return kept
    }

    /// An answer that a worker elsewhere has handed over piece by piece, with its bytes if they may be shown.
    ///
    /// - Throws: ``StoreError`` also when bytes are missing.
    private func complete(_ answer: Reply.Answer, _ run: PieceRun?) async throws -> Reply.Answer {
        guard let run, let stream = answer.stream, stream.rest == nil, answer.bytes.isEmpty else { return answer }
        let isJSON = answer.contentType.flatMap(MediaType.init)?.isJSON ?? false
        guard isJSON || stream.byteCount <= Payload.inlineLimit else { return answer }
        let bytes = try await store.bytes(of: run, byteCount: stream.byteCount)
        return Reply.Answer(bytes, answer.streamHead, stream: stream)
    }

    private func payload(_ answer: Reply.Answer, _ run: PieceRun?, _ form: Payload.Form) async throws -> Payload {
        if let stream = answer.stream, let run {
            let digest = form == .bytes || stream.byteCount > Payload.inlineLimit ? stream.digest : nil
            return Payload(
                content: .pieces(run), byteCount: stream.byteCount, contentType: answer.contentType, form: form,
                digest: digest)
        }
        let bytes = answer.bytes
        let isLarge = bytes.count > Payload.inlineLimit
        return Payload(
            content: isLarge ? try await stored(bytes) : .inline(bytes),
            byteCount: bytes.count,
            contentType: answer.contentType,
            form: form,
            digest: form != .bytes && !isLarge ? nil : Array(SHA256.hash(data: bytes))
        )
    }

    /// The codings of a `Content-Encoding`, in the order in which they were applied; nil when there are none.
    private static func codings(_ field: String) -> String? {
        let codings = field.split(separator: ",").map(\.trimmingSpaces)
            .filter { !$0.isEmpty && $0.lowercased() != "identity" }
        let text = codings.joined(separator: ", ")
        return text.isEmpty ? nil : String(text.unicodeScalars.prefix(encodingLimit))
    }

    /// What an answer says of its encoding is shown in every record of it, and a head may be long.
    private static let encodingLimit = 200

    /// On a full disk the bytes stay with the outcome, which waits until there is room for it.
    private func stored(_ bytes: [UInt8]) async throws -> Payload.Content {
        do {
            return .file(try await store.blobs.store(bytes, as: .output))
        } catch StoreError.full {
            return .inline(bytes)
        }
    }

    private func found(_ layers: String, in bytes: [UInt8]) -> PredictedLayers {
        guard let pointer = try? JSONPointer(layers), let range = JSONScanner.find(pointer, in: bytes) else {
            // The configuration's reader has checked the pointer.
            return .none
        }
        switch JSONScanner.kind(of: bytes, at: range.lowerBound) {
        case .object: return .object(range)
        case .array:
            let areObjects = JSONScanner.elements(of: bytes, in: range).allSatisfy {
                JSONScanner.kind(of: bytes, at: $0.lowerBound) == .object
            }
            return areObjects ? .array(range) : .none
        case .string, .number, .bool, .null: return .none
        }
    }
}
