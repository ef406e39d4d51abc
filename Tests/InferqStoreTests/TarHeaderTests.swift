import Testing

@testable import InferqCore
@testable import InferqStore

struct TarHeaderTests {
    private func text(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> String {
        String(decoding: bytes[offset..<offset + count].prefix { $0 != 0 }, as: UTF8.self)
    }

    /// Over the block with spaces in place of the sum itself.
    private func sum(_ block: ArraySlice<UInt8>) -> Int {
        block.enumerated().reduce(0) { $0 + ((148..<156).contains($1.offset) ? 32 : Int($1.element)) }
    }

    @Test
    func aFileHasOneBlock() {
        let bytes = TarHeader(name: "inferq.db", byteCount: 5000, modified: 1_000_000, owner: 998, group: 997).bytes
        #expect(bytes.count == 512)
        #expect(text(bytes, 0, 100) == "inferq.db")
        #expect(text(bytes, 100, 8) == "0000600")
        #expect(text(bytes, 108, 8) == "0001746")
        #expect(text(bytes, 116, 8) == "0001745")
        #expect(text(bytes, 124, 12) == "00000011610")
        #expect(text(bytes, 136, 12) == "00003641100")
        #expect(bytes[156] == UInt8(ascii: "0"))
        #expect(Array(bytes[257..<265]) == Array("ustar\u{0}00".utf8))
        #expect(Int(text(bytes, 148, 6), radix: 8) == sum(bytes[...]))
    }

    @Test
    func aFolderIsOne() {
        let bytes = TarHeader(name: "blobs/", kind: .folder, modified: 0).bytes
        #expect(bytes[156] == UInt8(ascii: "5"))
        #expect(text(bytes, 100, 8) == "0000700")
        #expect(text(bytes, 124, 12) == "00000000000")
    }

    @Test
    func aFileFromEightGiBOnSaysItsSizeInAHeaderOfItsOwn() {
        let last = TarHeader(name: "inferq.db", byteCount: (8 << 30) - 1, modified: 0).bytes
        #expect(last.count == 512)
        #expect(text(last, 124, 12) == "77777777777")
        let bytes = TarHeader(name: "inferq.db", byteCount: 8 << 30, modified: 0).bytes
        #expect(bytes.count == 3 * 512)
        #expect(bytes[156] == UInt8(ascii: "x"))
        #expect(text(bytes, 124, 12) == "00000000023")
        #expect(text(bytes, 512, 512) == "19 size=8589934592\n")
        #expect(text(bytes, 1024, 100) == "inferq.db")
        #expect(Int(text(bytes, 148, 6), radix: 8) == sum(bytes[..<512]))
        #expect(Int(text(bytes, 1024 + 148, 6), radix: 8) == sum(bytes[1024...]))
    }

    @Test(arguments: [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511)])
    func theLastBlockIsFilled(_ byteCount: Int, _ zeros: Int) {
        #expect(TarHeader.padding(after: byteCount).count == zeros)
        let entry = TarHeader(name: "a", byteCount: byteCount, modified: 0).entryByteCount
        #expect(entry == 512 + byteCount + zeros)
    }
}
