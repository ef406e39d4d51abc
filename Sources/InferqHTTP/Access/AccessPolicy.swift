import HTTPTypes
package import InferqCore

/// Who has a key, and whether one is needed: all that is in files.
package struct AccessPolicy: Sendable {
    let settings: AccessSettings
    let ring: KeyRing

    package init(_ settings: AccessSettings, _ ring: KeyRing) {
        self.settings = settings
        self.ring = ring
    }

    /// The holder of the key that the fields show.
    ///
    /// - Returns: nil when they show none.
    /// - Throws: 400, or 401.
    func holder(_ headers: HTTPFields, now: Timestamp = .now) throws(APIError) -> Caller? {
        let credentials = Credentials(headers)
        switch credentials {
        case .none: return nil
        case .several: throw .severalKeys
        case .otherScheme: throw .noRight(.keyInvalid)
        case .key:
            guard let key = credentials.accessKey, let caller = ring.caller(with: key.digest) else {
                throw .noRight(.keyInvalid)
            }
            guard !caller.isExpired(at: now) else { throw .noRight(.keyExpired) }
            return caller
        }
    }
}
