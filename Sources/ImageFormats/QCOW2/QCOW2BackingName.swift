import ImageModel

/// The path that stands in what a qcow2 image calls its backing file or data file, and the format where the name says it.
///
/// QEMU takes such a name for a path, `file:PATH`, or `json:` with the options of a block device (`qapi/block-core.json`,
/// `BlockdevOptions`), in which layers are nested or joined by dots: `{"driver": "qcow2", "file.filename": "base.qcow2"}`.
struct QCOW2BackingName: Hashable, Sendable {
    var path: String
    /// `driver`; nil where the name says none.
    var format: String?

    private static let limits = DocumentLimits(bytes: 2 * ReferencedName.maximumLength, depth: 4, values: 64)
    /// Drivers that read a file as it is.
    private static let fileDrivers = ["file", "host_device"]
    /// Options that change nothing of what is read, at any layer.
    private static let harmless: Set<String> = [
        "node-name", "read-only", "auto-read-only", "force-share", "discard", "detect-zeroes", "locking", "aio",
        "cache.direct", "cache.no-flush",
    ]

    /// - Throws: `external-reference` for anything but the path of a file.
    init(_ name: String, in image: String) throws(ImageError) {
        guard name.hasPrefix("json:") else {
            self.init(path: Self.withoutProtocol(name), format: nil)
            return
        }
        try self.init(json: String(name.dropFirst(5)), in: image)
    }

    private init(path: String, format: String?) {
        self.path = path
        self.format = format
    }

    private static func withoutProtocol(_ name: String) -> String {
        name.hasPrefix("file:") ? String(name.dropFirst(5)) : name
    }

    private init(json text: String, in image: String) throws(ImageError) {
        func refusal(_ what: String) -> ImageError {
            ImageError(
                .externalReference,
                "it names a file by 'json:', \(what); Lathe follows the path of a file, with the format that it has",
                path: image)
        }
        let document: DocumentValue
        do throws(JSONFailure) { document = try JSONReader.read(text, Self.limits) } catch {
            throw refusal("and \(error.message)")
        }
        var options: [String: String] = [:]
        try Self.flatten(document, "", into: &options) { refusal("in which '\(ReferencedName.shown($0))' \($1)") }
        let driver = options.removeValue(forKey: "driver")
        let isFile = driver.map(Self.fileDrivers.contains) ?? (options["filename"] != nil)
        let layer = isFile ? "" : "file."
        let protocolDriver = isFile ? driver : options.removeValue(forKey: "file.driver")
        guard protocolDriver.map(Self.fileDrivers.contains) ?? true else {
            throw refusal("with the driver '\(ReferencedName.shown(protocolDriver ?? ""))'")
        }
        guard let path = options.removeValue(forKey: layer + "filename") else { throw refusal("without a file name") }
        for name in options.keys.sorted() where !Self.isHarmless(name) {
            throw refusal("with the option '\(ReferencedName.shown(name))'")
        }
        // With a driver, the name is a path, whatever it begins with.
        self.init(path: protocolDriver == nil ? Self.withoutProtocol(path) : path, format: isFile ? nil : driver)
    }

    private static func isHarmless(_ option: String) -> Bool {
        harmless.contains(option) || option.hasPrefix("file.") && harmless.contains(String(option.dropFirst(5)))
    }

    private static func flatten(
        _ value: DocumentValue, _ name: String, into options: inout [String: String],
        _ refusal: (String, String) -> ImageError
    ) throws(ImageError) {
        switch value {
        case .object(let members):
            for member in members {
                try flatten(
                    member.value, name.isEmpty ? member.name : name + "." + member.name, into: &options, refusal)
            }
            return
        case .text(let text): guard options.updateValue(text, forKey: name) == nil else { break }; return
        case .flag(let flag): guard options.updateValue("\(flag)", forKey: name) == nil else { break }; return
        case .number(let digits): guard options.updateValue(digits, forKey: name) == nil else { break }; return
        case .null, .list: throw refusal(name, "is \(value.kind)")
        }
        throw refusal(name, "stands twice")
    }
}
