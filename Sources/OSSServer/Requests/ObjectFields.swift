internal import OSSWire
internal import ObjectStorage

/// The fields of a request that say what an object is beside its bytes, and those of an answer.
enum ObjectFields {
    /// (OSS, "Storage classes"); they are kept and reported, and every object here can be read at once.
    static let storageClasses = ["Standard", "IA", "Archive", "ColdArchive", "DeepColdArchive"]
    /// (OSS, "Object ACLs").
    static let objectACLs = ["default", "private", "public-read", "public-read-write"]

    /// - Throws: what of them is malformed, and `NotImplemented` for what could only be ignored.
    static func attributes(_ request: OSSRequest, bucketClass: String) throws(OSSFailure) -> ObjectAttributes {
        for (name, what) in notOffered where request.field(name) != nil { throw .notImplemented(what) }
        let storageClass = request.field(HeaderName.ossStorageClass) ?? bucketClass
        guard storageClasses.contains(storageClass) else {
            throw .invalidArgument(
                "The storage class is one of \(storageClasses.joined(separator: ", ")).",
                name: HeaderName.ossStorageClass, value: storageClass)
        }
        var attributes = ObjectAttributes(
            contentType: request.field(HeaderName.contentType), userMetadata: try userMetadata(request),
            storageClass: storageClass, acl: try acl(request))
        for name in servedFields { attributes.servedFields[name.lowercased()] = request.field(name) }
        return attributes
    }

    /// Who may do what with an object, where the request says so.
    static func acl(_ request: OSSRequest) throws(OSSFailure) -> String? {
        guard let acl = request.field(HeaderName.ossObjectACL) else { return nil }
        try require(acl, objectACLs, name: HeaderName.ossObjectACL)
        return acl
    }

    static func require(_ value: String, _ values: [String], name: String) throws(OSSFailure) {
        guard !values.contains(value) else { return }
        throw .invalidArgument("\(name) is one of \(values.joined(separator: ", ")).", name: name, value: value)
    }

    /// At most 8 KiB of names and values (OSS, "PutObject", x-oss-meta-*).
    private static func userMetadata(_ request: OSSRequest) throws(OSSFailure) -> [String: String] {
        let prefix = HeaderName.ossMetadataPrefix
        var metadata: [String: String] = [:]
        var length = 0
        for header in request.wire.headers where header.name.lowercased().hasPrefix(prefix) {
            let name = String(header.name.lowercased().dropFirst(prefix.count))
            guard !name.isEmpty, name.utf8.allSatisfy(isNameByte) else {
                throw .invalidArgument(
                    "The name of user metadata has letters, digits and hyphens only.", name: header.name)
            }
            guard header.value.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
                throw .invalidArgument("User metadata has printable ASCII characters only.", name: header.name)
            }
            length += name.utf8.count + header.value.utf8.count
            metadata[name] = header.value
        }
        guard length <= 8 << 10 else {
            throw OSSFailure(
                400, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size, 8 KiB.")
        }
        return metadata
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            || byte == UInt8(ascii: "-")
    }

    /// What would change the object or what is done with it, and is not done here.
    private static let notOffered: [(field: String, what: String)] = [
        (HeaderName.ossServerSideEncryption, "server-side encryption: it stores objects as they are"),
        (HeaderName.ossServerSideEncryptionKeyID, "server-side encryption: it stores objects as they are"),
        ("x-oss-server-side-data-encryption", "server-side encryption: it stores objects as they are"),
        ("x-oss-tagging", "tags of objects"), ("x-oss-tagging-directive", "tags of objects"),
        ("x-oss-callback", "callbacks"), ("x-oss-traffic-limit", "traffic limits"),
        ("x-oss-object-worm-mode", "retention"),
    ]

    /// What is kept beside the media type, and answered as it came (OSS, "PutObject", request headers).
    static let servedFields = [
        "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires",
    ]

    /// What an answer says of an object, whatever part of it goes with it.
    static func describe(_ object: ObjectSummary) -> [(name: String, value: String)] {
        var fields = [
            (HeaderName.eTag, "\"\(object.tag)\""), (HeaderName.lastModified, HTTPDate.format(object.modified)),
            (HeaderName.contentType, object.attributes.contentType ?? "application/octet-stream"),
            ("Accept-Ranges", "bytes"), (HeaderName.ossObjectType, type(ofTag: object.tag)),
            (HeaderName.ossStorageClass, object.attributes.storageClass ?? "Standard"),
        ]
        if let crc = object.crc64 { fields.append((HeaderName.ossHashCRC64, "\(crc)")) }
        for name in servedFields {
            if let value = object.attributes.servedFields[name.lowercased()] { fields.append((name, value)) }
        }
        for (name, value) in object.attributes.userMetadata.sorted(by: { $0.key < $1.key }) {
            fields.append((HeaderName.ossMetadataPrefix + name, value))
        }
        return fields
    }

    /// `Normal`, or `Multipart` where the tag says that the object was made of parts.
    static func type(ofTag tag: String) -> String { tag.contains("-") ? "Multipart" : "Normal" }
}
