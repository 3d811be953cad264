internal import OSSWire
internal import ObjectStorage

/// Who may do what without a key, and the encryption that a bucket asks for.
extension ObjectService {
    /// GetBucketAcl.
    func bucketACL(_ request: OSSRequest) async throws -> Answer {
        let settings = try await withBucket(request) { try $0.serverSettings() }
        return Self.accessList(settings.acl)
    }

    /// PutBucketAcl.
    func putBucketACL(_ request: OSSRequest) async throws -> Answer {
        guard let acl = request.field(HeaderName.ossACL) else {
            throw OSSFailure.invalidArgument("The list comes in \(HeaderName.ossACL).", name: HeaderName.ossACL)
        }
        try ObjectFields.require(acl, BucketSettings.acls, name: HeaderName.ossACL)
        try await changeSettings(request) { $0.acl = acl }
        return Answer()
    }

    /// GetObjectAcl.
    func objectACL(_ request: OSSRequest) async throws -> Answer {
        let key = try key(request)
        let object = try await withBucket(request) { try $0.open(key).summary }
        return Self.accessList(object.attributes.acl ?? "default")
    }

    /// PutObjectAcl.
    func putObjectACL(_ request: OSSRequest) async throws -> Answer {
        let key = try key(request)
        guard let acl = request.field(HeaderName.ossObjectACL) else {
            throw OSSFailure.invalidArgument(
                "The list comes in \(HeaderName.ossObjectACL).", name: HeaderName.ossObjectACL)
        }
        try ObjectFields.require(acl, ObjectFields.objectACLs, name: HeaderName.ossObjectACL)
        try await withBucket(request) { bucket in
            let object = try bucket.open(key).summary
            var attributes = object.attributes
            attributes.acl = acl
            try bucket.setAttributes(attributes, of: key, tag: object.tag)
        }
        return Answer()
    }

    private static func accessList(_ grant: String) -> Answer {
        var xml = XMLWriter(root: "AccessControlPolicy")
        xml.owner()
        xml.element("AccessControlList") { $0.element("Grant", grant) }
        return Answer(xml: xml)
    }

    /// GetBucketEncryption.
    func bucketEncryption(_ request: OSSRequest) async throws -> Answer {
        let settings = try await withBucket(request) { try $0.serverSettings() }
        guard let encryption = settings.encryption else {
            throw OSSFailure(
                404, "NoSuchServerSideEncryptionRule", "The server side encryption configuration does not exist.")
        }
        var xml = XMLWriter(root: "ServerSideEncryptionRule")
        xml.element("ApplyServerSideEncryptionByDefault") { xml in
            xml.element("SSEAlgorithm", encryption)
            xml.element("KMSMasterKeyID", settings.encryptionKeyID ?? "")
        }
        return Answer(xml: xml)
    }

    /// PutBucketEncryption: the wish is kept and reported, and objects are refused as long as it stands.
    func putBucketEncryption(_ request: OSSRequest) async throws -> Answer {
        let tree = try await request.collectXML(root: "ServerSideEncryptionRule")
        let rule = tree["ApplyServerSideEncryptionByDefault"]
        guard let algorithm = rule?["SSEAlgorithm"]?.text else {
            throw OSSFailure.malformedXML("The XML you provided has no SSEAlgorithm.")
        }
        try ObjectFields.require(algorithm, ["AES256", "KMS", "SM4"], name: "SSEAlgorithm")
        let keyID = rule?["KMSMasterKeyID"]?.text ?? ""
        try await changeSettings(request) { settings in
            settings.encryption = algorithm
            settings.encryptionKeyID = keyID.isEmpty ? nil : keyID
        }
        return Answer()
    }

    /// DeleteBucketEncryption.
    func deleteBucketEncryption(_ request: OSSRequest) async throws -> Answer {
        try await changeSettings(request) { settings in
            settings.encryption = nil
            settings.encryptionKeyID = nil
        }
        return Answer(204)
    }

    private func changeSettings(
        _ request: OSSRequest, _ change: @escaping @Sendable (inout BucketSettings) -> Void
    ) async throws {
        try await withBucket(request) { bucket in
            var settings = try bucket.serverSettings()
            change(&settings)
            try bucket.setSettings(settings.stored)
        }
    }

    /// Whether the lists let somebody without a key do it: read or write objects, and nothing else (OSS, "ACL").
    func letsAnybody(_ operation: Operation, _ request: OSSRequest) async throws -> Bool {
        guard operation.isReading || operation.isWriting else { return false }
        let key = try key(request)
        return try await withBucket(request) { bucket in
            var acl = try bucket.serverSettings().acl
            // That of an object stands before that of its bucket.
            if let own = try bucket.acl(of: key), own != "default" { acl = own }
            return acl == "public-read-write" || (operation.isReading && acl == "public-read")
        }
    }
}

extension DirectoryBucket {
    /// The list of an object; nil where there is none, or no object.
    fileprivate func acl(of key: ObjectKey) throws(StoreError) -> String? {
        do throws(StoreError) {
            return try open(key).summary.attributes.acl
        } catch {
            guard error.code == .noSuchObject else { throw error }
            return nil
        }
    }
}
