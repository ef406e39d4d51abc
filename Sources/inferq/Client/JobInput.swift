import Glibc
import InferqCore

/// What is to be submitted, as the command line names it.
struct JobInput: Sendable {
    enum Content: Sendable {
        /// One JSON value that has passed the grammar.
        case json([UInt8])
        case bytes([UInt8])
        /// Read from the file while it is sent.
        case chunks(FileChunks)
    }

    let contentType: String
    let content: Content

    /// Nothing at all is to be submitted: rarely what was meant.
    var isEmpty: Bool {
        if case .bytes(let bytes) = content { bytes.isEmpty } else { false }
    }

    /// Bytes that are read to find out whether an input of unknown type is JSON; a longer one is not looked at.
    private static let guessLimit = 64 << 20
    /// Up to here other input is read before it is sent; more is sent as it is read.
    private static let wholeLimit = 1 << 20

    /// Reads what `argument` names: a JSON object, a file, or standard input.
    ///
    /// - Parameter type: The content type, if the command line gives it.
    /// - Throws: ``ClientError`` if there is nothing to read, or it is not the JSON that it is said to be.
    static func read(_ argument: String?, type: String?) async throws -> JobInput {
        if let type, !ContentType.isValid(type) {
            throw ClientError(.usage, "--type \(type.quoted()) is not a content type; write something like image/png")
        }
        if let argument, isJSON(argument) {
            let bytes = Array(argument.utf8)
            let type = type ?? "application/json"
            guard ContentType.isJSON(type) else { return JobInput(contentType: type, content: .bytes(bytes)) }
            return JobInput(contentType: type, content: .json(try checked(bytes, "the input")))
        }
        if argument == nil, isatty(STDIN_FILENO) == 1 {
            throw ClientError(.usage, "there is no input; name a file, give a JSON object, or pipe it in")
        }
        guard let path = argument, path != "-" else {
            return try await read(InputFile(standardInput: "standard input"), type)
        }
        return try await read(InputFile(path: path, or: "a JSON object"), type ?? ContentType.named(path))
    }

    /// Whether an argument is meant as JSON: an object is, whatever may be wrong with it; any other value if it is one and
    /// no file has that name.
    private static func isJSON(_ argument: String) -> Bool {
        if argument.hasPrefix("{") { return true }
        guard access(argument, F_OK) != 0 else { return false }
        // Whatever is wrong with it: then it is the name of a file that does not exist.
        return (try? JSONScanner.validate(Array(argument.utf8))) != nil
    }

    private static func read(_ file: InputFile, _ type: String?) async throws -> JobInput {
        if let type, ContentType.isJSON(type) {
            let bytes = try await file.read(upTo: .max)
            return JobInput(contentType: type, content: .json(try checked(bytes, file.name)))
        }
        var start = try await file.read(upTo: wholeLimit)
        if type == nil, looksLikeJSON(start) {
            start += try await file.read(upTo: guessLimit - start.count)
            // Whatever is wrong with it: then it is not JSON, which no one has said it was.
            if start.count < guessLimit, (try? JSONScanner.validate(start)) != nil {
                return JobInput(contentType: "application/json", content: .json(start))
            }
        }
        let type = type ?? "application/octet-stream"
        if start.count < wholeLimit { return JobInput(contentType: type, content: .bytes(start)) }
        return JobInput(contentType: type, content: .chunks(FileChunks(start: start, rest: file)))
    }

    private static func checked(_ bytes: [UInt8], _ name: String) throws(ClientError) -> [UInt8] {
        do {
            try JSONScanner.validate(bytes)
        } catch {
            throw ClientError(.usage, "\(name) is not JSON: \(error)")
        }
        return bytes
    }

    private static func looksLikeJSON(_ bytes: [UInt8]) -> Bool {
        let first = bytes.first { !" \t\r\n".utf8.contains($0) }
        return first == UInt8(ascii: "{") || first == UInt8(ascii: "[")
    }
}
