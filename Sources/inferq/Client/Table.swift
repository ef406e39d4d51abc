/// Rows in columns, for people: fitted to a terminal's width, whole where there is no terminal.
struct Table: Sendable, Equatable {
    enum Color: Int, Sendable {
        case bold = 1
        case faint = 2
        case red = 31
        case green = 32
        case yellow = 33

        func paint(_ text: String) -> String { "\u{1B}[\(rawValue)m\(text)\u{1B}[0m" }
    }

    struct Cell: Sendable, Equatable, ExpressibleByStringLiteral {
        /// Control characters are escaped.
        let text: String
        let color: Color?

        init(_ text: String, _ color: Color? = nil) {
            self.text = text.visible(limit: 1000)
            self.color = color
        }

        init(stringLiteral text: String) {
            self.init(text)
        }
    }

    struct Column: Sendable, Equatable {
        var title: String
        var isNumber = false
        /// Its texts may be cut to fit.
        var isElastic = false
        /// Of those that do not fit, the highest goes first; 0 stays.
        var rank = 0
    }

    var columns: [Column]
    var rows: [[Cell]] = []

    private static let gap = 2
    /// An elastic column is not cut to less: what is left would say nothing.
    private static let leastElastic = 12

    /// - Parameter width: in columns of the terminal; nil: as wide as it gets.
    func lines(width: Int?, isColored: Bool) -> [String] {
        let shown = layout(width)
        let titles = shown.map { (columns[$0.index], $0.width, Cell(columns[$0.index].title, .bold)) }
        let body = rows.map { row in shown.map { (columns[$0.index], $0.width, row[$0.index]) } }
        return ([titles] + body).map { Self.line($0, isColored: isColored) }
    }

    private func layout(_ width: Int?) -> [(index: Int, width: Int)] {
        var shown = columns.indices.map { index in
            (index: index, width: ([columns[index].title] + rows.map { $0[index].text }).map(\.columns).max() ?? 0)
        }
        guard let width else { return shown }
        while true {
            let excess = shown.reduce(Self.gap * (shown.count - 1)) { $0 + $1.width } - width
            guard excess > 0 else { return shown }
            if let elastic = shown.lastIndex(where: { columns[$0.index].isElastic }),
                shown[elastic].width - excess >= Self.leastElastic
            {
                shown[elastic].width -= excess
                return shown
            }
            guard let last = shown.map({ columns[$0.index].rank }).max(), last > 0 else { return shown }
            shown.removeAll { columns[$0.index].rank == last }
        }
    }

    private static func line(_ cells: [(Column, Int, Cell)], isColored: Bool) -> String {
        var line = ""
        var pending = 0
        for (column, width, cell) in cells {
            let text = cell.text.fitted(to: width)
            if text.isEmpty {
                pending += width + gap
                continue
            }
            let space = max(0, width - text.columns)
            line += String(repeating: " ", count: pending + (column.isNumber ? space : 0))
            line += isColored ? cell.color?.paint(text) ?? text : text
            // Spaces are only written when something follows them.
            pending = (column.isNumber ? 0 : space) + gap
        }
        return line
    }
}

extension String {
    /// Columns of a terminal; from U+1100 on a character may take two.
    var columns: Int {
        reduce(0) { $0 + ($1.unicodeScalars.contains { $0.value >= 0x1100 && $0 != "…" } ? 2 : 1) }
    }

    /// The text, or its beginning and an ellipsis.
    func fitted(to width: Int) -> String {
        columns <= width ? self : ProgressLine.cut(self, to: width - 1) + "…"
    }
}

/// Numbers for people.
enum Amount {
    /// `512 B`, `1.5 KiB`, `12 MiB`.
    static func bytes(_ count: Int) -> String {
        var value = Double(count)
        var unit = "B"
        for next in ["KiB", "MiB", "GiB", "TiB"] where value >= 1024 {
            value /= 1024
            unit = next
        }
        if unit == "B" || value >= 10 { return "\(Int(value.rounded())) \(unit)" }
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10) \(unit)"
    }

    /// `45 s`, `12 min`, `3 h`, `2 d`.
    static func age(_ seconds: Double) -> String {
        let seconds = Int(max(0, seconds))
        switch seconds {
        case ..<120: return "\(seconds) s"
        case ..<7200: return "\(seconds / 60) min"
        case ..<172_800: return "\(seconds / 3600) h"
        default: return "\(seconds / 86_400) d"
        }
    }

    /// `0/s`, `0.25/s`, `3.4/s`, `120/s`.
    static func rate(_ perSecond: Double) -> String {
        let hundredths = Int((max(0, perSecond) * 100).rounded())
        if hundredths == 0 { return "0/s" }
        if hundredths >= 1000 { return "\((hundredths + 50) / 100)/s" }
        let digits = hundredths % 100
        return "\(hundredths / 100).\(digits < 10 ? "0" : "")\(digits)/s"
    }
}
