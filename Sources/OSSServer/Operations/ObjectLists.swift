internal import OSSWire
internal import ObjectStorage

extension ObjectService {
    /// GetBucket (ListObjects), version 1.
    func listObjects(_ request: OSSRequest) async throws -> Answer {
        let encoding = try ListingEncoding(request)
        let marker = request.parameter("marker") ?? ""
        let query = try ListQuery(request)
        let listing = try await withBucket(request) { try query.listing($0, after: marker) }
        var xml = XMLWriter(root: "ListBucketResult")
        query.describe(in: &xml, bucket: request.wire.bucket ?? "", encoding)
        xml.element("Marker", encoding.text(marker))
        xml.element("IsTruncated", listing.isTruncated)
        if let next = listing.next { xml.element("NextMarker", encoding.text(next)) }
        Self.write(listing, to: &xml, encoding, namesOwner: true)
        return Answer(xml: xml)
    }

    /// ListObjectsV2.
    func listObjectsV2(_ request: OSSRequest) async throws -> Answer {
        let encoding = try ListingEncoding(request)
        let start = request.parameter("start-after") ?? ""
        let token = request.parameter("continuation-token").flatMap { $0.isEmpty ? nil : $0 }
        let marker = try token.map { token throws(OSSFailure) in try Self.marker(ofToken: token) } ?? start
        let query = try ListQuery(request)
        let listing = try await withBucket(request) { try query.listing($0, after: marker) }
        var xml = XMLWriter(root: "ListBucketResult")
        query.describe(in: &xml, bucket: request.wire.bucket ?? "", encoding)
        if !start.isEmpty { xml.element("StartAfter", encoding.text(start)) }
        if let token { xml.element("ContinuationToken", token) }
        xml.element("KeyCount", listing.items.count)
        xml.element("IsTruncated", listing.isTruncated)
        if let next = listing.next { xml.element("NextContinuationToken", Hexadecimal.encode(next.utf8)) }
        Self.write(listing, to: &xml, encoding, namesOwner: request.parameter("fetch-owner") == "true")
        return Answer(xml: xml)
    }

    /// A token is a marker in hexadecimal, which no escaping changes.
    private static func marker(ofToken token: String) throws(OSSFailure) -> String {
        guard let bytes = Hexadecimal.decode(token), let marker = String(validating: bytes, as: UTF8.self) else {
            throw .invalidArgument(
                "The continuation token is not one of a list of this server.", name: "continuation-token", value: token)
        }
        return marker
    }

    private static func write(
        _ listing: Listing, to xml: inout XMLWriter, _ encoding: ListingEncoding, namesOwner: Bool
    ) {
        for case .object(let object) in listing.items {
            xml.element("Contents") { xml in
                xml.element("Key", encoding.text(object.entry.key))
                xml.element("LastModified", ISO8601.format(object.entry.modified))
                xml.element("ETag", "\"\(object.entry.tag)\"")
                xml.element("Type", ObjectFields.type(ofTag: object.entry.tag))
                xml.element("Size", object.entry.length)
                xml.element("StorageClass", object.storageClass)
                if namesOwner { xml.owner() }
            }
        }
        for case .commonPrefix(let prefix) in listing.items {
            xml.element("CommonPrefixes") { $0.element("Prefix", encoding.text(prefix)) }
        }
    }
}

/// What both versions of a list take.
private struct ListQuery: Sendable {
    let prefix: String
    let delimiter: String
    let count: Int

    /// - Throws: `InvalidArgument` beyond the limits (OSS, "GetBucket (ListObjects)": 1 to 1000 keys, by default 100).
    init(_ request: OSSRequest) throws(OSSFailure) {
        prefix = request.parameter("prefix") ?? ""
        delimiter = request.parameter("delimiter") ?? ""
        count = try request.number("max-keys", 1...1000) ?? 100
        for (name, value) in [("prefix", prefix), ("delimiter", delimiter)] {
            guard value.utf8.count <= ObjectKey.greatestLength else {
                throw .invalidArgument("\(name) has at most \(ObjectKey.greatestLength) bytes.", name: name)
            }
        }
    }

    func listing(_ bucket: DirectoryBucket, after marker: String) throws(StoreError) -> Listing {
        try Listing(bucket, prefix: prefix, delimiter: delimiter, after: marker, count: count)
    }

    func describe(in xml: inout XMLWriter, bucket: String, _ encoding: ListingEncoding) {
        xml.element("Name", bucket)
        xml.element("Prefix", encoding.text(prefix))
        xml.element("MaxKeys", count)
        xml.element("Delimiter", encoding.text(delimiter))
        encoding.announce(in: &xml)
    }
}

extension XMLWriter {
    /// The owner, which is the same of everything.
    mutating func owner() {
        element("Owner") { xml in
            xml.element("ID", ObjectService.owner)
            xml.element("DisplayName", ObjectService.owner)
        }
    }
}
