/// Bytes of a model's name in a body that are looked at; the configuration admits 256.
enum NameLimit {
    static let byteCount = 4096
}
