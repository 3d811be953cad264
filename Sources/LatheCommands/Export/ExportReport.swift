internal import ImageExport
internal import ImageFormats
internal import ImageModel
internal import ImagePipeline
internal import ObjectStorage

/// What `export` says when it is done.
struct ExportReport: Encodable {
    var source: String
    var object: String
    var manifest: String
    /// The names of all files, where the image is several: that of the object is the first.
    var files: [String]?
    var format: String
    var virtualSize: UInt64
    /// Where the size of the disk was rounded up: what the source has.
    var sourceVirtualSize: UInt64?
    /// Decimal, as OSS writes a CRC-64.
    var fingerprint: String
    var objectLength: UInt64
    var objectCRC64: String
    /// Whether the store said the CRC-64 of the whole object; else each part was checked, and no more.
    var isCheckedByStore: Bool
    var tag: String
    var partsSent: Int
    /// Parts that were there from a run before.
    var partsPresent: Int
    var bytesSent: UInt64
    var retries: Int
    var wasResumed: Bool
    /// Whether the object's metadata name the fingerprint.
    var hasMetadata: Bool
    var seconds: Double

    enum CodingKeys: String, CodingKey {
        case source, object, manifest, files, format, fingerprint, tag, retries, seconds
        case virtualSize = "virtual-size"
        case sourceVirtualSize = "source-virtual-size"
        case objectLength = "object-length"
        case objectCRC64 = "object-crc64ecma"
        case isCheckedByStore = "checked-by-store"
        case partsSent = "parts-sent"
        case partsPresent = "parts-present"
        case bytesSent = "bytes-sent"
        case wasResumed = "resumed"
        case hasMetadata = "metadata"
    }

    init(source: String, store: String, result: ExportResult, progress: TransferProgress, seconds: Double) {
        self.source = source
        object = "\(store)/\(result.key)"
        manifest = "\(store)/\(result.manifestKey)"
        files = result.manifest.files.isEmpty ? nil : result.manifest.files.map(\.name)
        format = result.manifest.format.rawValue
        virtualSize = result.manifest.virtualSize
        sourceVirtualSize = result.manifest.sourceVirtualSize
        fingerprint = String(result.manifest.content.crc64ecma)
        objectLength = result.manifest.objectLength
        objectCRC64 = String(result.manifest.object.crc64ecma)
        isCheckedByStore = result.summary.crc64 != nil
        tag = result.summary.tag
        partsSent = progress.partsSent
        partsPresent = progress.partsPresent
        bytesSent = progress.bytesSent
        retries = progress.retries
        wasResumed = result.wasResumed
        hasMetadata = result.hasAttributes
        self.seconds = seconds
    }

    var sentence: String {
        let speed = seconds > 0 ? Double(objectLength) / seconds / 1e6 : 0
        let whole = files == nil ? "the store has CRC-64 \(objectCRC64)" : "the store has the CRC-64 of each"
        let check = isCheckedByStore ? whole : "each part was checked by the store"
        let count = files.map { " in \($0.count) files" } ?? ""
        var text =
            "\(object): \(format), \(NumberText.size(virtualSize)) disk in \(NumberText.size(objectLength))\(count); "
            + "\(NumberText.fixed(seconds, digits: 2)) s, \(NumberText.fixed(speed, digits: 0)) MB/s; "
            + "\(check); fingerprint \(fingerprint)"
        if let sourceVirtualSize {
            text += "; the disk was rounded up from \(sourceVirtualSize) to \(virtualSize) bytes"
        }
        if wasResumed { text += "; \(partsPresent) parts were there already" }
        if retries > 0 { text += "; \(retries) calls were made again" }
        if !hasMetadata { text += "; the store can't add the fingerprint to the metadata of an object this long" }
        return text
    }
}

/// What `export --abort-stale` found.
struct StaleReport: Encodable {
    struct Upload: Encodable {
        var key: String
        var uploadID: String
        var ageSeconds: UInt64

        enum CodingKeys: String, CodingKey {
            case key
            case uploadID = "upload-id"
            case ageSeconds = "age-seconds"
        }
    }

    var store: String
    var removed: Bool
    var uploads: [Upload]

    var text: String {
        guard !uploads.isEmpty else { return "\(store): no upload is left over" }
        return uploads.map { upload in
            "\(store)/\(upload.key): upload \(upload.uploadID), begun \(upload.ageSeconds / 3600) hours ago"
                + (removed ? ", removed" : "")
        }.joined(separator: "\n")
    }
}
