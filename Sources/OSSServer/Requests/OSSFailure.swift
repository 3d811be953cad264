internal import ObjectStorage

/// An answer that says that a request failed, and why (OSS, "Error responses").
struct OSSFailure: Error {
    /// The HTTP status.
    var status: Int
    /// What OSS calls it: `NoSuchKey`.
    var code: String
    /// A sentence or two for people.
    var message: String
    /// The vendor's finer code, where it is known.
    var ec: String?
    /// What the body names besides, in order.
    var details: [Detail] = []

    struct Detail: Hashable {
        var name: String
        var value: String
    }

    init(_ status: Int, _ code: String, _ message: String, ec: String? = nil, details: [(String, String)] = []) {
        self.status = status
        self.code = code
        self.message = message
        self.ec = ec
        self.details = details.map(Detail.init)
    }

    /// The same failure with one more element in its body.
    func naming(_ name: String, _ value: String) -> OSSFailure {
        var failure = self
        failure.details.append(Detail(name: name, value: value))
        return failure
    }
}

/// Failures that more than one operation answers.
extension OSSFailure {
    static func invalidArgument(_ message: String, name: String? = nil, value: String? = nil) -> OSSFailure {
        var failure = OSSFailure(400, "InvalidArgument", message)
        if let name { failure = failure.naming("ArgumentName", name) }
        if let value { failure = failure.naming("ArgumentValue", value) }
        return failure
    }

    static func malformedXML(_ message: String) -> OSSFailure {
        OSSFailure(400, "MalformedXML", message, ec: "0031-00000001")
    }

    /// What OSS can do and this server can't: it is refused, not ignored.
    static func notImplemented(_ what: String) -> OSSFailure {
        OSSFailure(501, "NotImplemented", "This server does not offer \(what); leave it out, or use OSS itself.")
    }

    static func methodNotAllowed(_ method: String) -> OSSFailure {
        OSSFailure(405, "MethodNotAllowed", "The method \(method) is not allowed against this resource.")
    }

    static func accessDenied(_ message: String, ec: String? = "0003-00000001") -> OSSFailure {
        OSSFailure(403, "AccessDenied", message, ec: ec)
    }

    static func preconditionFailed(_ condition: String) -> OSSFailure {
        OSSFailure(
            412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.",
            details: [("Condition", condition)])
    }

    static let internalError = OSSFailure(
        500, "InternalError", "The server failed in a way that it does not know; its log may say more.")
}

extension OSSFailure {
    /// What a client is told of a failure of the store.
    init(_ error: StoreError) {
        switch error.code {
        case .noSuchBucket: self.init(404, "NoSuchBucket", "The specified bucket does not exist.")
        case .bucketExists:
            self.init(409, "BucketAlreadyExists", "A bucket of this name exists; buckets have one name each.")
        case .bucketNotEmpty:
            self.init(
                409, "BucketNotEmpty", "The bucket you tried to delete is not empty: objects or uploads are left.")
        case .noSuchObject: self.init(404, "NoSuchKey", "The specified key does not exist.")
        case .noSuchUpload:
            self.init(
                404, "NoSuchUpload", "The specified upload does not exist: it may have been aborted or completed.")
        case .objectExists:
            self.init(
                409, "FileAlreadyExists", "The object you specified already exists and can not be overwritten.",
                ec: "0042-00000214")
        case .invalidPart: self.init(400, "InvalidPart", error.message)
        case .invalidRange: self.init(416, "InvalidRange", "The requested range cannot be satisfied")
        case .preconditionFailed: self = .preconditionFailed("If-Match")
        case .checksumMismatch: self.init(400, "InvalidDigest", error.message)
        case .invalidRequest: self.init(400, "InvalidArgument", error.message)
        // The store's own words name paths of this machine, which are none of the client's business.
        case .unsupported:
            self.init(
                501, "NotImplemented",
                "This server keeps objects as files: at most 255 bytes of a key stand between two slashes, and there can't be "
                    + "both an object 'a' and an object 'a/b'.")
        // HTTP has a status for it (RFC 4918, section 11.5), and OSS, which is never full, no code.
        case .noSpace:
            self.init(
                507, "InsufficientStorage",
                "The server's disk is full; nothing of the request was kept. Make room there, then try again.")
        case .throttled: self.init(503, "ServiceUnavailable", "Please reduce your request rate.")
        default: self = .internalError
        }
    }
}
