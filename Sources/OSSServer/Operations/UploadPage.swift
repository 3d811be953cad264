internal import ObjectStorage

/// Which uploads are asked for (OSS, "ListMultipartUploads").
struct UploadQuery: Sendable {
    let prefix: String
    let delimiter: String
    let keyMarker: String
    /// Means nothing without a key.
    let idMarker: String
    let count: Int

    init(_ request: OSSRequest) throws(OSSFailure) {
        prefix = request.parameter("prefix") ?? ""
        delimiter = request.parameter("delimiter") ?? ""
        keyMarker = request.parameter("key-marker") ?? ""
        idMarker = request.parameter("upload-id-marker") ?? ""
        count = try request.number("max-uploads", 1...1000) ?? 1000
    }

    /// Whether an upload stands behind the markers: another upload of the same key only where an ID is marked.
    func isBehindMarkers(_ upload: MultipartUpload) -> Bool {
        guard !keyMarker.isEmpty else { return true }
        let key = upload.key.description.utf8
        if keyMarker.utf8.lexicographicallyPrecedes(key) { return true }
        return !idMarker.isEmpty && key.elementsEqual(keyMarker.utf8) && idMarker < upload.id
    }
}

/// Some of the uploads of a bucket, in the order of their keys and IDs.
struct UploadPage: Sendable {
    private(set) var uploads: [MultipartUpload] = []
    private(set) var commonPrefixes: [String] = []
    private(set) var isTruncated = false
    private(set) var nextKeyMarker = ""
    private(set) var nextIDMarker = ""

    init(_ all: [MultipartUpload], _ query: UploadQuery) {
        let sorted = all.sorted { left, right in
            let (one, other) = (left.key.description.utf8, right.key.description.utf8)
            return one.elementsEqual(other) ? left.id < right.id : one.lexicographicallyPrecedes(other)
        }
        for upload in sorted where query.isBehindMarkers(upload) {
            let key = upload.key.description
            let group = Listing.commonPrefix(of: key, query.prefix, query.delimiter)
            let isSame = { (name: String) in group?.utf8.elementsEqual(name.utf8) ?? false }
            if isSame(query.keyMarker) || commonPrefixes.last.map(isSame) == true { continue }
            guard uploads.count + commonPrefixes.count < query.count else {
                isTruncated = true
                return
            }
            if let group {
                commonPrefixes.append(group)
                (nextKeyMarker, nextIDMarker) = (group, "")
            } else {
                uploads.append(upload)
                (nextKeyMarker, nextIDMarker) = (key, upload.id)
            }
        }
        (nextKeyMarker, nextIDMarker) = ("", "")
    }
}
