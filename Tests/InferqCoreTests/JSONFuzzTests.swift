import Foundation
import InferqCore
import TestSupport
import Testing

/// Whatever bytes come: the scanner takes what the plain reference takes, finds only what is there, and never traps.
struct JSONFuzzTests {
    typealias Numbers = SplitMix64

    private static let mutation = Mutation(
        pieces: [
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\"a\":", "\"job\":{}", "\\u0000", "\\ud800", "\\\"", "null",
            "true", "0", "-", "1e", "01", ".5", "1e999", " ", "\n", "\r\n", "\u{0}", "\u{FEFF}", "\u{2028}", "é", "😀",
            "[[[[[[[[[[", "]]]]]]]]]]", "{\"a\":{\"a\":", "}}", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ].map { Array($0.utf8) } + [[0x80], [0xC0, 0xAF], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xFF]]
    )

    private static let pointers = ["", "/a", "/a/0", "/job", "/0", "/~0~1", "/a/a/a", "/-", "/00"]

    @Test
    func whateverComesIsTakenOrRefusedRightly() async throws {
        let time = FuzzTime(share: 0.7)
        let pointers = try Self.pointers.map { try JSONPointer($0) }
        var seed = time.seed
        var taken = 0
        repeat {
            for _ in 0..<200 {
                seed &+= 1
                let bytes = Self.bytes(seed)
                do {
                    taken += try check(bytes, pointers) ? 1 : 0
                } catch {
                    Issue.record("INFERQ_FUZZ_SEED=\(seed &- 1), \(Data(bytes).base64EncodedString()): \(error)")
                    return
                }
            }
            // The other tests share the threads.
            await Task.yield()
        } while !time.isOver
        #expect(taken > 0, "mutations leave some texts JSON")
    }

    private static func bytes(_ seed: UInt64) -> [UInt8] {
        var numbers = Numbers(seed: seed)
        var bytes = JSONSample.randomObject(&numbers).written(&numbers)
        for _ in 0..<Int.random(in: 0...6, using: &numbers) { mutation.mutate(&bytes, &numbers) }
        return bytes
    }

    private struct Broken: Error {
        let rule: String
    }

    private func demand(_ holds: Bool, _ rule: String) throws {
        guard holds else { throw Broken(rule: rule) }
    }

    /// - Returns: whether the bytes are JSON.
    private func check(_ bytes: [UInt8], _ pointers: [JSONPointer]) throws -> Bool {
        let isJSON = JSONReference.accepts(bytes)
        do {
            try JSONScanner.validate(bytes)
        } catch {
            try demand(!isJSON, "what the reference takes is taken, but: \(error)")
            try demand((0...bytes.count).contains(error.offset), "the fault lies in the text")
            try demand(error.line >= 1 && error.column >= 1, "lines and columns begin with 1")
            try demand(error.column <= error.offset + 1, "a column is not past the fault")
            let members = try? JSONScanner.members(of: bytes)  // refused as well: there is nothing to compare
            try demand(members == nil, "members of what is not JSON are not given")
            return false
        }
        try demand(isJSON, "what the reference refuses is refused")
        try checkFinds(bytes, pointers)
        if let members = try JSONScanner.members(of: bytes) { try checkMembers(members, of: bytes) }
        return true
    }

    private func checkFinds(_ bytes: [UInt8], _ pointers: [JSONPointer]) throws {
        var compact: [UInt8] = []
        JSONScanner.appendCompactASCII(bytes, 0..<bytes.count, to: &compact)
        try demand(compact.allSatisfy { (0x20..<0x80).contains($0) }, "the compact form is ASCII on one line")
        try JSONScanner.validate(compact)
        var again: [UInt8] = []
        JSONScanner.appendCompactASCII(compact, 0..<compact.count, to: &again)
        try demand(again == compact, "the compact form of the compact form is the same")
        for pointer in pointers {
            let found = JSONScanner.find(pointer, in: bytes)
            try demand(
                (found != nil) == (JSONScanner.find(pointer, in: compact) != nil), "a pointer finds both or none")
            guard let found else { continue }
            try demand(found.lowerBound >= 0 && found.upperBound <= bytes.count, "what is found lies in the text")
            try JSONScanner.validate(Array(bytes[found]))
            for element in JSONScanner.elements(of: bytes, in: found) {
                try demand(found.contains(element.lowerBound), "an element lies in its array")
                try JSONScanner.validate(Array(bytes[element]))
            }
        }
    }

    private func checkMembers(_ members: [JSONMember], of bytes: [UInt8]) throws {
        try demand(members == JSONScanner.members(of: bytes, in: 0..<bytes.count), "both ways give the same members")
        let named = try JSONScanner.members(of: bytes, named: ["a", "job"])
        let expected = members.filter { member in
            ["a", "job"].contains { member.name.utf8.elementsEqual($0.utf8) }
        }
        try demand(named == expected, "members by name are those of that name")
        var end = 0
        for (index, member) in members.enumerated() {
            try demand(member.whole.lowerBound > end, "members come in order, with something between them")
            try demand(member.whole.upperBound == member.value.upperBound, "a member ends with its value")
            try demand(bytes[member.whole.lowerBound] == UInt8(ascii: "\""), "a member begins with its name")
            try demand(
                JSONScanner.kind(of: bytes, at: member.value.lowerBound) == member.kind, "the kind is the value's")
            try JSONScanner.validate(Array(bytes[member.value]))
            end = member.whole.upperBound - 1
            let rest = JSONScanner.removing(index, of: members, from: bytes)
            let left = try JSONScanner.members(of: rest) ?? []
            let others = members[..<index] + members[(index + 1)...]
            try demand(left.map(\.name) == others.map(\.name), "taking one member out leaves the others")
        }
    }
}
