internal import FoundationEssentials

/// What stands beside an object's file, under a name that is made of its key and of the file's identity.
struct ObjectRecord: Codable {
    var key: String
    var tag: String
    /// nil for a file that somebody put there, as long as nobody has asked for it.
    var crc64: UInt64?
    var attributes: RecordedAttributes
}

/// What stands in the directory of an upload; without it there is no such upload.
struct UploadRecord: Codable {
    var key: String
    var attributes: RecordedAttributes
    /// Of every part but the last; 0 as long as it is not known.
    var partLength: UInt64
    var replacing: Bool
    /// In seconds since 1970-01-01 UTC.
    var initiated: UInt64
}

/// What stands beside the bytes of a part, and is written behind them.
struct PartRecord: Codable {
    var number: Int
    var length: UInt64
    var tag: String
    var crc64: UInt64
    /// The file of the part's own; nil where its bytes are at their place among the others.
    var file: String?

    var stored: StoredPart { StoredPart(number: number, length: length, tag: tag, crc64: crc64) }
}

/// What stands beside a bucket; without it there is no such bucket.
struct BucketRecord: Codable {
    /// In seconds since 1970-01-01 UTC.
    var created: UInt64
}

struct RecordedAttributes: Codable {
    var contentType: String?
    var metadata: [String: String]?
    var servedFields: [String: String]?
    var storageClass: String?
    var acl: String?

    /// - Throws: `unsupported` where encryption is asked for.
    init(_ attributes: ObjectAttributes) throws(StoreError) {
        guard attributes.encryption == nil else {
            throw StoreError(
                .unsupported,
                "a directory does not encrypt what it keeps; ask for no server-side encryption, and encrypt the file system"
            )
        }
        contentType = attributes.contentType
        metadata = attributes.userMetadata.isEmpty ? nil : attributes.userMetadata
        servedFields = attributes.servedFields.isEmpty ? nil : attributes.servedFields
        storageClass = attributes.storageClass
        acl = attributes.acl
    }

    var attributes: ObjectAttributes {
        var attributes = ObjectAttributes(
            contentType: contentType, userMetadata: metadata ?? [:], storageClass: storageClass, acl: acl)
        attributes.servedFields = servedFields ?? [:]
        return attributes
    }
}

extension Folder {
    /// A record of a file; nil where there is none, or nothing that can be read as one: records are written whole, so such a
    /// file is none of ours.
    func record<Record: Decodable>(_ type: Record.Type, _ name: String) throws(StoreError) -> Record? {
        guard let bytes = try contents(of: name) else { return nil }
        return try? JSONDecoder().decode(type, from: Data(bytes))
    }

    func write(record: some Encodable, to name: String, staging: Folder) throws(StoreError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let data: Data
        do { data = try encoder.encode(record) } catch {
            throw StoreError(.invalidRequest, "this can't be kept as JSON", operation: path(of: name), cause: error)
        }
        try write([UInt8](data), to: name, staging: staging)
    }
}

/// A mark for bytes of which the store has no other: their CRC-64 and length.
func tag(crc64: UInt64, length: UInt64) -> String { hexadecimal(crc64, digits: 16) + hexadecimal(length, digits: 12) }
