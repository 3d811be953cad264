internal import OSSWire
internal import ObjectStorage

extension ObjectService {
    /// DeleteObject: that there is none is no error.
    func deleteObject(_ request: OSSRequest) async throws -> Answer {
        let key = try key(request)
        try await withBucket(request) { try $0.delete(key) }
        return Answer(204)
    }

    /// DeleteMultipleObjects: up to 1,000 keys in a body of 2 MiB (OSS, "DeleteMultipleObjects").
    func deleteObjects(_ request: OSSRequest) async throws -> Answer {
        let tree = try await request.collectXML(root: "Delete", upTo: 2 << 20)
        let objects = tree.all("Object")
        guard (1...1000).contains(objects.count) else {
            throw OSSFailure.malformedXML("The XML you provided names \(objects.count) objects, expected 1 to 1000.")
        }
        let isQuiet = tree["Quiet"]?.text.lowercased() == "true"
        var keys: [ObjectKey] = []
        for object in objects {
            guard object["VersionId"] == nil else { throw OSSFailure.notImplemented("versions of objects") }
            guard let name = object["Key"]?.text else {
                throw OSSFailure.malformedXML("The XML you provided has an Object without a Key.")
            }
            keys.append(try key(name))
        }
        let deleted = keys
        let accesses = keys.map {
            ObjectAccess("oss:DeleteObject", bucket: request.wire.bucket, key: $0.description)
        }
        try await withBucket(request) { bucket in
            try request.permit.require(accesses)
            for key in deleted { try bucket.delete(key) }
        }
        let isEncoded = try ListingEncoding(request)
        var xml = XMLWriter(root: "DeleteResult")
        if !isQuiet {
            isEncoded.announce(in: &xml)
            for key in deleted { xml.element("Deleted") { $0.element("Key", isEncoded.text(key.description)) } }
        }
        return Answer(xml: xml)
    }
}
