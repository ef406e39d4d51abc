/// What a model server shows to tell of its progress: the right to speak for one attempt of one job.
///
/// Signed, so that nothing need be remembered of it: it stays genuine across restarts, and the job's row says whether its
/// attempt is still running.
package struct NotifyToken: Sendable, Equatable {
    package let job: JobKey
    package let lease: Job.Lease

    package init(_ job: JobKey, _ lease: Job.Lease) {
        self.job = job
        self.lease = lease
    }

    /// `<job>.<lease>.<HMAC-SHA256, cut to 128 bits>`, in characters that a header takes as they are.
    package func text(_ key: SigningKey) -> String {
        let content = String(job.value, radix: 36) + "." + String(lease.number, radix: 36)
        return content + "." + Hex.text(key.code(of: content, byteCount: 16))
    }

    /// Nil for a text that ``text(_:)`` has not made with this key.
    package init?(_ text: String, _ key: SigningKey) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let job = Int64(parts[0], radix: 36), let lease = Int64(parts[1], radix: 36) else {
            return nil
        }
        self.init(JobKey(value: job), Job.Lease(number: lease))
        guard SecretText.isEqual(text, self.text(key)) else { return nil }
    }
}
