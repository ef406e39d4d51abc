import InferqCore
import InferqQueue
import InferqStore
import Testing

@testable import InferqHTTP

struct MetricsTextTests {
    @Test
    func aMetricHasItsHelpItsTypeAndItsSamples() {
        var text = MetricsText()
        text.metric("inferq_x_total", .counter, "What is counted.")
        text.sample(3)
        text.sample(0.25, ["model": "ocr", "code": "timeout"])
        #expect(
            text.text == """
                # HELP inferq_x_total What is counted.
                # TYPE inferq_x_total counter
                inferq_x_total 3
                inferq_x_total{model="ocr",code="timeout"} 0.25

                """
        )
    }

    @Test
    func aHistogramIsShownInItsUnitWithCumulativeBuckets() {
        let histogram = Histogram(bounds: [1, 2500], unitsPerOne: 1000)
        for value in [1, 2, 4000] { histogram.observe(value) }
        var text = MetricsText()
        text.metric("x_seconds", .histogram, "Time.")
        text.sample(histogram.reading, histogram, ["model": "a"])
        #expect(
            text.text.split(separator: "\n").dropFirst(2) == [
                "x_seconds_bucket{model=\"a\",le=\"0.001\"} 1", "x_seconds_bucket{model=\"a\",le=\"2.5\"} 2",
                "x_seconds_bucket{model=\"a\",le=\"+Inf\"} 3", "x_seconds_sum{model=\"a\"} 4.003",
                "x_seconds_count{model=\"a\"} 3",
            ])
    }

    @Test
    func aLabelCannotBreakOutOfItsQuotationMarks() {
        var text = MetricsText()
        text.sample(1, ["a": "\"} 2\n\\"])
        #expect(text.text == "{a=\"\\\"} 2\\n\\\\\"} 1\n")
    }
}
