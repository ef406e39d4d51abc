/// Guesses which name a misspelt one was meant to be.
enum NearestName {
    /// The known name with the fewest typing errors, nil if every one is too far off to be what was meant.
    static func find(_ name: String, among known: [String]) -> String? {
        guard name.utf8.count <= 64 else { return nil }
        let wanted = Array(name.lowercased().replacing("-", with: "_").utf8)
        let scored = known.map { (name: $0, distance: distance(wanted, Array($0.utf8))) }
        guard let best = scored.min(by: { ($0.distance, $0.name) < ($1.distance, $1.name) }) else { return nil }
        return best.distance <= max(1, wanted.count / 3) ? best.name : nil
    }

    /// Insertions, deletions, replacements and swaps of neighbors that turn one into the other.
    private static func distance(_ from: [UInt8], _ to: [UInt8]) -> Int {
        var before: [Int] = []
        var previous = Array(0...to.count)
        for (row, byte) in from.enumerated() {
            var current = [row + 1]
            for (column, other) in to.enumerated() {
                var cost = min(previous[column + 1], current[column]) + 1
                cost = min(cost, previous[column] + (byte == other ? 0 : 1))
                if row > 0, column > 0, byte == to[column - 1], from[row - 1] == other {
                    cost = min(cost, before[column - 1] + 1)
                }
                current.append(cost)
            }
            (before, previous) = (previous, current)
        }
        return previous[to.count]
    }
}
