import HTTPTypes
import InferqCore
import Synchronization

/// The `Date` field (RFC 9110, section 5.6.7), made once a second.
final class DateHeader: Sendable {
    private let cached = Mutex((second: Int64(-1), field: HTTPField(name: .date, value: "")))

    var current: HTTPField {
        let second = Timestamp.now.milliseconds / 1000
        return cached.withLock { cached in
            if cached.second != second {
                let text = Self.text(Timestamp(milliseconds: second * 1000))
                cached = (second, HTTPField(name: .date, value: text))
            }
            return cached.field
        }
    }

    private static let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    static func text(_ moment: Timestamp) -> String {
        let iso = Array(moment.rfc3339.utf8)
        func part(_ range: Range<Int>) -> String { String(decoding: iso[range], as: UTF8.self) }
        // 1970-01-01 was a Thursday.
        let weekday = weekdays[Int(moment.milliseconds / 86_400_000 % 7)]
        let month = months[(Int(part(5..<7)) ?? 1) - 1]
        return "\(weekday), \(part(8..<10)) \(month) \(part(0..<4)) \(part(11..<19)) GMT"
    }
}
