import Crypto
package import InferqCore
import NIOCore
import NIOHTTP1

/// Takes a model server's 2xx answer in, bounded, as bytes.
enum AnswerReader {
    /// - Parameter limit: bytes.
    /// - Throws: what breaks the exchange.
    static func read(_ answer: ModelAnswer, limit: Int) async throws -> Reply {
        if let announced = answer.headers.first(name: "content-length").flatMap({ Int($0) }), announced > limit {
            return tooLarge(limit)
        }
        var bytes: [UInt8] = []
        var isTooLarge = false
        try await answer.read { piece in
            isTooLarge = bytes.count + piece.readableBytes > limit
            if !isTooLarge { bytes.append(contentsOf: piece.readableBytesView) }
            return !isTooLarge
        }
        if isTooLarge { return tooLarge(limit) }
        return .answered(bytes, contentType: answer.headers.first(name: "content-type"))
    }

    private static func tooLarge(_ limit: Int) -> Reply {
        .failed(
            Failure(.tooLarge, "the model server's answer is larger than \(limit) bytes", isRetryable: false),
            retryAfter: nil
        )
    }
}

/// Makes a model server's answer what the store keeps: large ones become a file, layers are found.
package struct AnswerKeeper: Sendable {
    private let store: JobStore

    package init(store: JobStore) {
        self.store = store
    }

    /// - Throws: ``StoreError``.
    package func outcome(_ bytes: [UInt8], contentType: String?, _ model: ModelSettings) async throws -> Outcome {
        let isJSON = contentType.flatMap(MediaType.init)?.isJSON == true && Self.isValid(bytes)
        let isLarge = bytes.count > Payload.inlineLimit
        let payload = Payload(
            content: isLarge ? try await stored(bytes) : .inline(bytes),
            byteCount: bytes.count,
            contentType: contentType,
            isJSON: isJSON,
            digest: isJSON && !isLarge ? nil : Array(SHA256.hash(data: bytes))
        )
        return .answered(Outcome.Answer(payload: payload, layers: isJSON ? found(model.layers, in: bytes) : .none))
    }

    /// On a full disk the bytes stay with the outcome, which waits until there is room for it.
    private func stored(_ bytes: [UInt8]) async throws -> Payload.Content {
        do {
            return .file(try await store.blobs.store(bytes, as: .output))
        } catch StoreError.full {
            return .inline(bytes)
        }
    }

    private static func isValid(_ bytes: [UInt8]) -> Bool {
        do {
            try JSONScanner.validate(bytes)
            return true
        } catch {
            return false
        }
    }

    private func found(_ layers: String, in bytes: [UInt8]) -> Job.Layers {
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
