import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@testable import InferqHTTP

/// What the decoder takes for an offer to change the protocol.
struct UpgradeOfferTests {
    @Test(arguments: [
        ("Upgrade", "h2c", UpgradeOffer.plain), ("keep-alive, upgrade", "websocket", .plain),
        ("  UPGRADE  ,x", "TLS/1.3", .plain), ("keep-alive", "h2c", .none), ("x-upgrade", "h2c", .none),
        ("upgrade, ", "h2c", .plain), ("upgrade x", "h2c", .none), ("upgrade;q=1", "h2c", .odd),
        ("\tupgrade", "h2c", .odd), ("\"upgrade\"", "h2c", .odd), ("upgrade", "", .odd), ("close", "", .none),
    ])
    func anOfferIsReadAsTheDecoderReadsIt(_ connection: String, _ upgrade: String, _ offer: UpgradeOffer) {
        #expect(UpgradeOffer(["Connection": connection, "Upgrade": upgrade]) == offer)
    }

    /// The decoder itself is asked: it stops after a request with an offer.
    @Test func theDecoderAgrees() throws {
        let parts = [
            "upgrade", "Upgrade", "UPGRADE", "upgrad", "upgrades", "close", "keep-alive", "x", ",", ",", " ", "  ",
            "\t", ";", "=",
            "\"", "-", "é", "u", "c", "k",
        ]
        for _ in 0..<20_000 {
            let value = (0..<Int.random(in: 1...6)).compactMap { _ in parts.randomElement() }.joined()
            let upgrade = ["h2c", "", " ", "a,b", "x"].randomElement() ?? "h2c"
            let (heads, offer) = try decoded("Connection: \(value)\r\nUpgrade: \(upgrade)\r\n")
            switch offer {
            case .plain: #expect(heads == 1, "\(value.debugDescription), \(upgrade.debugDescription)")
            case .some(.none): #expect(heads == 2, "\(value.debugDescription), \(upgrade.debugDescription)")
            case .odd, nil: break
            }
        }
    }

    /// How many heads NIO's decoder reads of two requests with these fields, and the offer of the first.
    private func decoded(_ fields: String) throws -> (heads: Int, UpgradeOffer?) {
        let channel = EmbeddedChannel(handler: ByteToMessageHandler(HTTPRequestDecoder()))
        defer { _ = try? channel.finish(acceptAlreadyClosed: true) }
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n"
        do {
            try channel.writeInbound(ByteBuffer(string: request + request))
        } catch is HTTPParserError {
            return (0, nil)
        }
        var heads: [HTTPRequestHead] = []
        while let part = try channel.readInbound(as: HTTPServerRequestPart.self) {
            if case .head(let head) = part { heads.append(head) }
        }
        return (heads.count, heads.first.map { UpgradeOffer($0.headers) })
    }

    @Test func anOfferNeedsBothFields() {
        #expect(UpgradeOffer(["Connection": "upgrade"]) == .none)
        #expect(UpgradeOffer(["Upgrade": "h2c"]) == .none)
        #expect(
            UpgradeOffer(HTTPHeaders([("upgrade", "h2c"), ("connection", "x"), ("connection", "Upgrade")])) == .plain)
    }
}
