import InferqCore

/// Content types, and the names of files that tell them.
enum ContentType {
    /// By the file's extension, nil if it is not known.
    static func named(_ path: String) -> String? {
        let name = path.split(separator: "/").last ?? ""
        guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return nil }
        return byExtension[name[name.index(after: dot)...].lowercased()]
    }

    /// JSON by name.
    static func isJSON(_ type: String) -> Bool {
        MediaType(type)?.isJSON ?? false
    }

    /// What a terminal can show.
    static func isText(_ type: String) -> Bool {
        isJSON(type) || isReadAsItComes(type)
    }

    /// Text whose beginning is of use to a reader before its end has come.
    static func isReadAsItComes(_ type: String) -> Bool {
        framing(of: type) != nil || MediaType(type)?.essence.hasPrefix("text/") == true
    }

    /// Nil for a type of answers that have no frames.
    static func framing(of type: String) -> StreamFraming? {
        MediaType(type).flatMap { StreamFraming(essence: $0.essence) }
    }

    /// Whether the text can stand in a header as a content type.
    static func isValid(_ type: String) -> Bool {
        MediaType(type) != nil && type.first != " " && type.utf8.allSatisfy { (0x20...0x7E).contains($0) }
    }

    private static let byExtension = [
        "json": "application/json", "pdf": "application/pdf", "zip": "application/zip", "xml": "application/xml",
        "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "tif": "image/tiff", "tiff": "image/tiff",
        "webp": "image/webp", "gif": "image/gif", "bmp": "image/bmp",
        "txt": "text/plain", "csv": "text/csv", "html": "text/html", "md": "text/markdown",
        "wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "ogg": "audio/ogg", "m4a": "audio/mp4",
        "mp4": "video/mp4", "webm": "video/webm",
    ]
}
