import InferqCore

/// A key as the files have it.
enum KeySamples {
    /// A hash that no key has: its digits are all `digit` but the last ones, which are `tail`.
    static func hex(_ digit: Character, tail: String = "") -> String {
        String(repeating: digit, count: 64 - tail.count) + tail
    }

    static func hash(_ digit: Character, tail: String = "", _ more: String = "") -> String {
        "{ id = \"\(String(repeating: digit, count: 8))\", sha256 = \"\(hex(digit, tail: tail))\"\(more) }"
    }

    /// The table of a client with such a hash.
    static func table(_ name: String, _ digit: Character) -> String {
        "[keys.\(name)]\nhashes = [\(hash(digit))]\nscopes = [\"submit\"]\n"
    }
}
