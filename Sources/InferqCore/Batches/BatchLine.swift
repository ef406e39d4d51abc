/// One line of a batch's input: a request, named by its client.
package struct BatchLine: Sendable {
    package let customID: String
    /// What the model server gets.
    package let body: [UInt8]
    /// As the body names it; nil: it names none.
    package let model: String?

    /// Bytes of the longest name.
    private static let longestID = 512

    /// - Parameters:
    ///   - line: from 1.
    ///   - endpoint: of the batch.
    package init(_ text: [UInt8], line: Int, endpoint: String) throws(BatchProblem) {
        guard let object = JSONObject(text, named: ["custom_id", "method", "url", "body"]) else {
            throw BatchProblem("invalid_json_line", "The line is not a JSON object.", line: line)
        }
        guard let name = object.text("custom_id"), !name.isEmpty, name.utf8.count <= Self.longestID else {
            throw BatchProblem(
                "invalid_custom_id", "custom_id must be a string of 1 to \(Self.longestID) bytes.", line: line,
                member: "custom_id")
        }
        guard object.text("method") == "POST" else {
            throw BatchProblem("invalid_method", "method must be POST.", line: line, member: "method")
        }
        guard object.text("url") == endpoint else {
            throw BatchProblem(
                "invalid_url", "url must be the batch's endpoint, \(endpoint).", line: line, member: "url")
        }
        guard let bytes = object["body"],
            let body = JSONObject(bytes, named: ["model", "stream", "background"])
        else {
            throw BatchProblem("invalid_body", "body must be a JSON object.", line: line, member: "body")
        }
        guard body["stream"] != Array("true".utf8) else {
            throw BatchProblem(
                "invalid_body", "A request in a batch cannot be streamed.", line: line, member: "body.stream")
        }
        guard body["background"] != Array("true".utf8) else {
            throw BatchProblem(
                "invalid_body", "A request in a batch already runs in the background.", line: line,
                member: "body.background")
        }
        customID = name
        self.body = bytes
        model = body.text("model")
    }

    /// The name alone, of a line that was found good before; nil for any other.
    package static func customID(in text: [UInt8]) -> String? {
        JSONObject(text, named: ["custom_id"])?.text("custom_id")
    }
}

extension BatchProblem: Error {}

/// Takes the lines of a file apart as its bytes come.
package struct LineCutter: Sendable {
    /// A line that is not blank.
    package struct Line: Sendable {
        /// From 1, blank ones counted.
        package let number: Int
        package let text: [UInt8]
        /// Bytes of the file up to its end, the line feed included.
        package let end: Int
    }

    private var rest: [UInt8] = []
    /// Lines that have ended.
    package private(set) var number: Int
    private var place: Int

    /// - Parameters:
    ///   - line: how many lines were read before.
    ///   - place: how many bytes.
    package init(after line: Int = 0, place: Int = 0) {
        number = line
        self.place = place
    }

    /// Bytes of a line whose end has not come.
    package var heldCount: Int { rest.count }

    /// - Returns: the lines that end in these bytes.
    package mutating func read(_ bytes: [UInt8]) -> [Line] {
        var lines: [Line] = []
        var start = bytes.startIndex
        while let feed = bytes[start...].firstIndex(of: 0x0A) {
            rest += bytes[start..<feed]
            start = feed + 1
            if let line = end(feeds: 1) { lines.append(line) }
        }
        rest += bytes[start...]
        return lines
    }

    /// The file is over: its last line may lack a line feed.
    package mutating func finish() -> Line? {
        rest.isEmpty ? nil : end(feeds: 0)
    }

    private mutating func end(feeds: Int) -> Line? {
        number += 1
        place += rest.count + feeds
        defer { rest = [] }
        if number == 1, rest.starts(with: [0xEF, 0xBB, 0xBF]) { rest.removeFirst(3) }
        let isBlank = rest.allSatisfy { JSONByte.isWhiteSpace($0) }
        return isBlank ? nil : Line(number: number, text: rest, end: place)
    }
}
