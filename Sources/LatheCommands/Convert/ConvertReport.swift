internal import ImageFormats
internal import ImageModel
internal import ImagePipeline

/// What a conversion made, with the checksums of the file.
struct ConvertedObject {
    var result: ConversionResult
    /// Nil where no checksum was asked for.
    var object: Checksums?
    /// With what was asked for; none for an image of one file.
    var files: [WrittenFile] = []
}

/// What `convert` says when it is done.
struct ConvertReport: Encodable {
    var source: String
    var sourceFormat: String
    var filename: String
    var format: String
    var virtualSize: UInt64
    /// Where the size of the disk was rounded up: what the source has.
    var sourceVirtualSize: UInt64?
    /// Decimal, as OSS writes a CRC-64.
    var fingerprint: String?
    var objectLength: UInt64
    var objectCRC64: String?
    var contentSHA256: String?
    var contentSHA256Tree: String?
    var objectSHA256: String?
    var objectSHA256Tree: String?
    /// The names of an image of several files.
    var files: [String]?
    /// Guest bytes that are not zero.
    var contentBytes: UInt64
    /// Bytes of the result that share their blocks with the source.
    var clonedBytes: UInt64
    var verified: Bool
    var seconds: Double

    enum CodingKeys: String, CodingKey {
        case source, filename, format, fingerprint, files, verified, seconds
        case sourceFormat = "source-format"
        case virtualSize = "virtual-size"
        case sourceVirtualSize = "source-virtual-size"
        case objectLength = "object-length"
        case objectCRC64 = "object-crc64ecma"
        case contentBytes = "content-bytes"
        case clonedBytes = "cloned-bytes"
        case contentSHA256 = "content-sha256"
        case contentSHA256Tree = "content-sha256-tree"
        case objectSHA256 = "object-sha256"
        case objectSHA256Tree = "object-sha256-tree"
    }

    init(
        source: String, destination: String, conversion: Conversion, made: ConvertedObject, verified: Bool,
        seconds: Double
    ) {
        let result = made.result
        // Taken out once: the compiler (6.3.1, optimizing) fails on member accesses through the optional in place.
        let content: Checksums? = result.content
        let object: Checksums? = made.object
        self.source = source
        sourceFormat = conversion.image.format.rawValue
        filename = destination
        format = conversion.writtenFormat.rawValue
        virtualSize = result.virtualSize
        sourceVirtualSize = result.virtualSize == conversion.image.virtualSize ? nil : conversion.image.virtualSize
        fingerprint = content.map { String($0.crc64ecma) }
        objectLength = result.objectLength
        objectCRC64 = result.objectCRC64.map { String($0) }
        contentSHA256 = content?.sha256
        contentSHA256Tree = content?.sha256Tree
        objectSHA256 = object?.sha256
        objectSHA256Tree = object?.sha256Tree
        files = result.files.isEmpty ? nil : result.files.map(\.name)
        contentBytes = result.contentBytes
        clonedBytes = result.clonedBytes
        self.verified = verified
        self.seconds = seconds
    }

    var sentence: String {
        let speed = seconds > 0 ? Double(contentBytes) / seconds / 1e6 : 0
        let cloned = clonedBytes > 0 ? " (\(NumberText.size(clonedBytes)) shared with the source)" : ""
        let rounding = sourceVirtualSize.map { ", rounded up from \($0) to \(virtualSize) bytes" } ?? ""
        let proof = (fingerprint.map { "fingerprint \($0)" } ?? "no fingerprint") + (verified ? ", verified" : "")
        return
            "\(filename): \(format), \(NumberText.size(virtualSize)) disk with \(NumberText.size(contentBytes)) of data in "
            + "\(NumberText.size(objectLength))\(files.map { " in \($0.count) files" } ?? "")\(cloned)\(rounding); "
            + "\(NumberText.fixed(seconds, digits: 2)) s, "
            + "\(NumberText.fixed(speed, digits: 0)) MB/s; \(proof)"
    }

    /// - Throws: `verification-failed` where the file read back is not what was written.
    static func requireWritten(_ written: Checksums?, _ found: Checksums, path: String) throws(ImageError) {
        guard let written = written?.crc64ecma else { return }
        guard found.crc64ecma == written else {
            throw ImageError(
                .verificationFailed,
                "read back, the file has CRC-64 \(found.crc64ecma), but what was written has \(written); it was "
                    + "thrown away: check the disk and memory of this machine", path: path)
        }
    }

    /// - Throws: `verification-failed` where the result read back is not what was read from the source.
    static func requireSame(_ result: ConversionResult, _ readBack: UInt64, _ written: DiskImage, path: String)
        throws(ImageError)
    {
        guard let fingerprint = result.fingerprint else { return }
        guard readBack == fingerprint, written.virtualSize == result.virtualSize else {
            throw ImageError(
                .verificationFailed,
                "read back, the result has fingerprint \(readBack) and \(written.virtualSize) bytes, the source has "
                    + "\(fingerprint) and \(result.virtualSize); it was thrown away: check the disk and memory of this "
                    + "machine, and report it if they are sound", path: path)
        }
    }
}
