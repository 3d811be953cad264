internal import OSSWire
internal import ObjectStorage

extension ObjectService {
    /// GetService (ListBuckets), in pages.
    func listBuckets(_ request: OSSRequest) async throws -> Answer {
        let prefix = request.parameter("prefix") ?? ""
        let marker = request.parameter("marker") ?? ""
        let count = try request.number("max-keys", 1...1000) ?? 100
        let buckets = try await pool.run {
            try store.buckets().filter {
                let name = $0.name.description
                guard name.hasPrefix(prefix), marker.isEmpty || marker < name else { return false }
                return try request.permit.shows(name)
            }
        }
        let page = try await pool.run {
            // One that is deleted meanwhile is left out.
            buckets.prefix(count).compactMap { bucket in
                (try? store.bucket(bucket.name).serverSettings()).map { (bucket, $0) }
            }
        }
        let isTruncated = buckets.count > count
        var xml = XMLWriter(root: "ListAllMyBucketsResult")
        xml.element("Prefix", prefix)
        xml.element("Marker", marker)
        xml.element("MaxKeys", count)
        xml.element("IsTruncated", isTruncated)
        if isTruncated { xml.element("NextMarker", buckets[count - 1].name.description) }
        xml.owner()
        xml.element("Buckets") { xml in
            for (bucket, settings) in page {
                xml.element("Bucket") { describe(bucket, settings, request, in: &$0) }
            }
        }
        return Answer(xml: xml)
    }

    /// PutBucket: a bucket that is there already stays, and takes the list of who may do what.
    func putBucket(_ request: OSSRequest) async throws -> Answer {
        let name = try bucketName(request)
        let acl = request.field(HeaderName.ossACL)
        if let acl { try ObjectFields.require(acl, BucketSettings.acls, name: HeaderName.ossACL) }
        let storageClass = try await bucketClass(request)
        try await pool.run {
            try request.permit.claim(name.description)
            var settings = BucketSettings()
            if try store.makeBucket(name) {
                settings.storageClass = storageClass ?? settings.storageClass
            } else {
                settings = try store.bucket(name).serverSettings()
                guard storageClass == nil || storageClass == settings.storageClass else {
                    throw OSSFailure(
                        409, "BucketAlreadyExists",
                        "The requested bucket name is not available: the bucket exists, with the storage class "
                            + "\(settings.storageClass).")
                }
            }
            settings.acl = acl ?? settings.acl
            try store.bucket(name).setSettings(settings.stored)
        }
        return Answer(200, [(HeaderName.location, "/\(name)")])
    }

    /// The storage class that the body of PutBucket asks for.
    private func bucketClass(_ request: OSSRequest) async throws -> String? {
        if request.contentLength == nil && !request.isChunked || request.contentLength == 0 { return nil }
        let tree = try await request.collectXML(root: "CreateBucketConfiguration")
        if let redundancy = tree["DataRedundancyType"]?.text, !["", "LRS"].contains(redundancy) {
            throw OSSFailure.notImplemented("the redundancy '\(redundancy)': it keeps objects once, as LRS")
        }
        guard let storageClass = tree["StorageClass"]?.text, !storageClass.isEmpty else { return nil }
        try ObjectFields.require(storageClass, ObjectFields.storageClasses, name: "StorageClass")
        return storageClass
    }

    /// DeleteBucket.
    func deleteBucket(_ request: OSSRequest) async throws -> Answer {
        let name = try bucketName(request)
        try await pool.run {
            do throws(StoreError) { try store.deleteBucket(name) } catch {
                // What another end of it left half done, is done now.
                if error.code == .noSuchBucket { try request.permit.release(name.description) }
                throw error
            }
            try request.permit.release(name.description)
        }
        return Answer(204)
    }

    /// GetBucketInfo.
    func bucketInfo(_ request: OSSRequest) async throws -> Answer {
        let (bucket, settings) = try await withBucket(request) { (try $0.summary(), try $0.serverSettings()) }
        var xml = XMLWriter(root: "BucketInfo")
        xml.element("Bucket") { xml in
            describe(bucket, settings, request, in: &xml)
            xml.element("DataRedundancyType", "LRS")
            xml.owner()
            xml.element("AccessControlList") { $0.element("Grant", settings.acl) }
            // The word "None" stands for no encryption (oss2 2.19.1, xml_utils.py).
            xml.element("ServerSideEncryptionRule") { xml in
                xml.element("SSEAlgorithm", settings.encryption ?? "None")
                if let keyID = settings.encryptionKeyID { xml.element("KMSMasterKeyID", keyID) }
            }
        }
        return Answer(xml: xml)
    }

    /// What lists of buckets and what is said of one have in common; outside and inside there is one endpoint, that of the
    /// request.
    private func describe(
        _ bucket: BucketSummary, _ settings: BucketSettings, _ request: OSSRequest, in xml: inout XMLWriter
    ) {
        let host = request.field(HeaderName.host) ?? ""
        xml.element("CreationDate", ISO8601.format(bucket.created))
        xml.element("ExtranetEndpoint", host)
        xml.element("IntranetEndpoint", host)
        xml.element("Location", location)
        xml.element("Name", bucket.name.description)
        xml.element("Region", region)
        xml.element("StorageClass", settings.storageClass)
    }

    /// As `oss-cn-hangzhou`.
    private var location: String { "oss-\(region)" }

    /// GetBucketLocation.
    func bucketLocation(_ request: OSSRequest) async throws -> Answer {
        _ = try await withBucket(request) { try $0.summary() }
        var xml = XMLWriter(root: "LocationConstraint")
        xml.characters(location)
        return Answer(xml: xml)
    }

    /// GetBucketStat: what the objects and the parts of unfinished uploads come to.
    func bucketStat(_ request: OSSRequest) async throws -> Answer {
        let stat = try await withBucket(request) { try BucketStat($0) }
        var xml = XMLWriter(root: "BucketStat")
        xml.element("Storage", stat.storage)
        xml.element("ObjectCount", stat.objects)
        xml.element("MultipartUploadCount", stat.uploads)
        xml.element("MultipartPartCount", stat.parts)
        xml.element("LiveChannelCount", 0)
        xml.element("LastModifiedTime", request.arrived)
        return Answer(xml: xml)
    }
}

extension DirectoryStore {
    /// Makes a bucket; false where it is there already.
    fileprivate func makeBucket(_ name: BucketName) throws(StoreError) -> Bool {
        do throws(StoreError) {
            try createBucket(name)
            return true
        } catch {
            guard error.code == .bucketExists else { throw error }
            return false
        }
    }
}

/// The sums over a bucket; OSS takes them once an hour, here they are of this moment.
private struct BucketStat: Sendable {
    var storage: UInt64 = 0
    var objects = 0
    var uploads = 0
    var parts = 0

    /// It blocks.
    init(_ bucket: DirectoryBucket) throws(StoreError) {
        var last: String?
        while true {
            let page = try bucket.list(prefix: "", after: last, count: 1000)
            for entry in page.entries { storage += entry.length }
            objects += page.entries.count
            guard page.isTruncated, let end = page.entries.last?.key else { break }
            last = end
        }
        for upload in try bucket.uploads(prefix: "") {
            uploads += 1
            do throws(StoreError) {
                for part in try bucket.parts(of: upload) {
                    parts += 1
                    storage += part.length
                }
            } catch {
                guard error.code == .noSuchUpload else { throw error }
                uploads -= 1
            }
        }
    }
}
