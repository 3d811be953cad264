internal import FoundationEssentials
internal import ImageCodecs
internal import ImageFormats
public import ImageModel

// The JSON of a manifest. `schemas/lathe.manifest-1.schema.json` says the same to other programs.

extension Manifest {
    /// A manifest that is longer is refused unread, in bytes: the longest that Lathe writes has 65536 parts.
    public static let largestEncodedLength: UInt64 = 16 << 20

    /// The text, with a line end.
    public func encoded() throws(ImageError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        do { return try Array(encoder.encode(ManifestDocument(self))) + [UInt8(ascii: "\n")] } catch {
            throw ImageError(.unsupported, "the manifest can't be put into JSON", cause: error)
        }
    }

    /// Reads a manifest, and believes nothing of it that can't be.
    ///
    /// - Throws: `limit-exceeded`, `unsupported` for another major version, `corrupt` for the rest.
    public init(source: any ImageSource) throws(ImageError) {
        guard source.length <= Self.largestEncodedLength else {
            throw ImageError(
                .limitExceeded,
                "a manifest of \(source.length) bytes can't be one; the longest has \(Self.largestEncodedLength)",
                path: source.name)
        }
        let bytes = try source.read(FileRange(0, length: source.length))
        do throws(ImageError) { try self.init(bytes) } catch { throw error.naming(source.name) }
    }

    /// - Parameter bytes: JSON text.
    public init(_ bytes: [UInt8]) throws(ImageError) {
        let decoder = JSONDecoder()
        let data = Data(bytes)
        let header: ManifestHeader = try Self.decode(data, with: decoder)
        guard header.schema == Self.schema else {
            let isManifest = header.schema.hasPrefix("lathe.manifest/")
            throw ImageError(
                isManifest ? .unsupported : .corrupt,
                "the manifest's schema is '\(header.schema)', expected '\(Self.schema)'"
                    + (isManifest ? "; a newer Lathe may know it" : ""))
        }
        let document: ManifestDocument = try Self.decode(data, with: decoder)
        self = try document.manifest()
        try validate()
    }

    private static func decode<Document: Decodable>(_ data: Data, with decoder: JSONDecoder) throws(ImageError)
        -> Document
    {
        do { return try decoder.decode(Document.self, from: data) } catch {
            throw ImageError(.corrupt, "this is no manifest: \(sentence(for: error))")
        }
    }

    /// What a decoder says, in words.
    private static func sentence(for error: any Error) -> String {
        func place(_ path: [any CodingKey]) -> String {
            path.isEmpty
                ? "at its top"
                : "at '" + path.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".") + "'"
        }
        switch error {
        case DecodingError.keyNotFound(let key, let context):
            return "there is no '\(key.stringValue)' \(place(context.codingPath))"
        case DecodingError.typeMismatch(let type, let context):
            return "\(place(context.codingPath)) is something else than the \(type) that is expected"
        case DecodingError.valueNotFound(let type, let context):
            return "\(place(context.codingPath)) is null, expected a \(type)"
        case DecodingError.dataCorrupted(let context):
            return context.codingPath.isEmpty
                ? "it is not JSON" : "\(place(context.codingPath)): \(context.debugDescription)"
        default:
            return "it can't be read"
        }
    }

    /// - Throws: `corrupt` where numbers contradict each other or can't be.
    private func validate() throws(ImageError) {
        func refuse(_ message: String) -> ImageError { ImageError(.corrupt, "the manifest can't be true: \(message)") }
        let largest = UInt64(Int64.max)
        guard virtualSize <= largest, virtualSize % sectorSize == 0 else {
            throw refuse("a virtual size of \(virtualSize) is not a multiple of 512 up to \(largest)")
        }
        let alignment = options[Self.alignmentKey].flatMap { UInt64($0) } ?? sectorSize
        guard sourceLength <= virtualSize, virtualSize - sourceLength < max(alignment, sectorSize) else {
            throw refuse("a source of \(sourceLength) bytes is no disk of \(virtualSize)")
        }
        guard objectLength <= largest else { throw refuse("no file has \(objectLength) bytes") }
        guard parts.length >= 4096, parts.length <= largest else {
            throw refuse("parts of \(parts.length) bytes are none; they have 4096 and more")
        }
        let lengths = files.isEmpty ? [objectLength] : files.map(\.length)
        let count = PartChecksums.count(lengths, parts.length)
        guard count == UInt64(parts.crc64ecma.count), count <= PartChecksums.mostParts else {
            throw refuse(
                "it has \(parts.crc64ecma.count) parts, but \(objectLength) bytes in parts of \(parts.length) are \(count)"
                    + " (and no more than \(PartChecksums.mostParts) can be)")
        }
        if files.isEmpty {
            guard parts.object(length: objectLength) == object.crc64ecma else {
                throw refuse("the CRC-64s of its parts do not add up to that of the object")
            }
        } else {
            try validateFiles(refuse)
        }
        let ofFiles = files.flatMap { [$0.checksums?.sha256, $0.checksums?.sha256Tree] }
        let digests = [content.sha256, content.sha256Tree, object.sha256, object.sha256Tree] + ofFiles
        for digest in digests.compactMap(\.self) {
            guard digest.utf8.count == 64, digest.utf8.allSatisfy({ "0123456789abcdef".utf8.contains($0) }) else {
                throw refuse("'\(digest.prefix(80))' is no SHA-256 of 64 hexadecimal digits in lower case")
            }
        }
    }
}

extension Manifest {
    /// - Throws: what `refuse` makes, where the files do not add up to the object, or have names that are none.
    private func validateFiles(_ refuse: (String) -> ImageError) throws(ImageError) {
        var first = 0
        var length: UInt64 = 0
        var sums: [(crc64ecma: UInt64, length: UInt64)] = []
        for file in files {
            guard ReferencedName.objection(to: file.name) == nil, !file.name.contains("/") else {
                throw refuse("'\(ReferencedName.shown(file.name))' is not the name of a file beside the image")
            }
            // A manifest says which files are read beside an image, and which a download writes.
            guard file.name == files[0].name || FormatCatalog.isFile(file.name, ofImage: files[0].name) else {
                throw refuse(
                    "'\(ReferencedName.shown(file.name))' can't be a file of an image that is called "
                        + "'\(ReferencedName.shown(files[0].name))'")
            }
            let (end, overflow) = length.addingReportingOverflow(file.length)
            guard !overflow, let crc = file.checksums?.crc64ecma else { throw refuse("its files are too long") }
            length = end
            let count = Int(file.length.dividedRoundingUp(by: parts.length))
            let own = PartChecksums(length: parts.length, crc64ecma: Array(parts.crc64ecma[first..<first + count]))
            guard own.object(length: file.length) == crc else {
                throw refuse("the CRC-64s of the parts of '\(file.name)' do not add up to that of the file")
            }
            sums.append((crc, file.length))
            first += count
        }
        guard length == objectLength, CRC64Sum.checksum(ofFiles: sums) == object.crc64ecma else {
            throw refuse("its files do not add up to the object")
        }
        guard Set(files.map(\.name)).count == files.count else { throw refuse("two of its files have one name") }
    }
}

/// What is read first: everything else depends on it.
private struct ManifestHeader: Decodable {
    var schema: String
}

/// The JSON as it stands.
private struct ManifestDocument: Codable {
    struct Digests: Codable {
        var length: UInt64?
        var crc64ecma: String
        var sha256: String?
        var sha256Tree: String?

        enum CodingKeys: String, CodingKey {
            case length, crc64ecma, sha256
            case sha256Tree = "sha256-tree"
        }

        init(_ checksums: Checksums, length: UInt64? = nil) {
            self.length = length
            crc64ecma = String(checksums.crc64ecma)
            sha256 = checksums.sha256
            sha256Tree = checksums.sha256Tree
        }

        func checksums(_ name: String) throws(ImageError) -> Checksums {
            Checksums(crc64ecma: try number(crc64ecma, name), sha256: sha256, sha256Tree: sha256Tree)
        }
    }

    struct File: Codable {
        var name: String
        var length: UInt64
        var crc64ecma: String
        var sha256: String?
        var sha256Tree: String?

        enum CodingKeys: String, CodingKey {
            case name, length, crc64ecma, sha256
            case sha256Tree = "sha256-tree"
        }
    }

    struct Parts: Codable {
        var length: UInt64
        var crc64ecma: [String]
    }

    var schema: String
    var format: String
    var options: [String: String]
    var virtualSize: UInt64
    var sourceLength: UInt64
    var content: Digests
    var object: Digests
    var files: [File]?
    var parts: Parts
    var encoder: [String: String]

    init(_ manifest: Manifest) {
        schema = Manifest.schema
        format = manifest.format.rawValue
        options = manifest.options
        virtualSize = manifest.virtualSize
        sourceLength = manifest.sourceLength
        content = Digests(manifest.content)
        object = Digests(manifest.object, length: manifest.objectLength)
        let files = manifest.files.compactMap { file in
            file.checksums.map {
                File(
                    name: file.name, length: file.length, crc64ecma: String($0.crc64ecma), sha256: $0.sha256,
                    sha256Tree: $0.sha256Tree)
            }
        }
        self.files = files.isEmpty ? nil : files
        parts = Parts(length: manifest.parts.length, crc64ecma: manifest.parts.crc64ecma.map { String($0) })
        encoder = manifest.encoder
    }

    func manifest() throws(ImageError) -> Manifest {
        guard let format = ImageFormat(rawValue: format) else {
            throw ImageError(
                .unsupported,
                "the manifest's format is '\(format)', expected one of "
                    + ImageFormat.allCases.map(\.rawValue).joined(separator: ", "))
        }
        guard let length = object.length else {
            throw ImageError(.corrupt, "this is no manifest: there is no 'length' at 'object'")
        }
        var crcs: [UInt64] = []
        crcs.reserveCapacity(parts.crc64ecma.count)
        for text in parts.crc64ecma { crcs.append(try number(text, "parts.crc64ecma")) }
        var written: [WrittenFile] = []
        for file in files ?? [] {
            let checksums = Checksums(
                crc64ecma: try number(file.crc64ecma, "files.crc64ecma"), sha256: file.sha256,
                sha256Tree: file.sha256Tree)
            written.append(WrittenFile(name: file.name, length: file.length, checksums: checksums))
        }
        return Manifest(
            format: format, options: options, virtualSize: virtualSize, sourceLength: sourceLength,
            content: try content.checksums("content.crc64ecma"), objectLength: length,
            object: try object.checksums("object.crc64ecma"), files: written,
            parts: PartChecksums(length: parts.length, crc64ecma: crcs), encoder: encoder)
    }
}

/// A CRC-64 as OSS writes it: in decimal, since a number of 64 bits is more than many JSON readers hold.
private func number(_ text: String, _ name: String) throws(ImageError) -> UInt64 {
    guard let number = UInt64(text), String(number) == text else {
        throw ImageError(
            .corrupt, "this is no manifest: '\(text.prefix(40))' at '\(name)' is no CRC-64 in decimal digits")
    }
    return number
}
