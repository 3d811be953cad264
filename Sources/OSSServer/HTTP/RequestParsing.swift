internal import Hummingbird
internal import HummingbirdCore
internal import OSSWire
internal import ObjectStorage

/// Makes a request of what the connection reads.
struct RequestParsing: Sendable {
    let store: DirectoryStore
    let pool: BlockingPool
    /// Whose first labels are buckets; nil for any.
    let domain: String?

    func request(_ request: Request, id: String, arrived: UInt64) async throws -> OSSRequest {
        let target = try RequestTarget(request.head.path ?? "")
        var headers = request.headers.map { HeaderField($0.name.rawName, $0.value) }
        // HTTP/1 has it among the fields, what reads it has it apart.
        if let authority = request.head.authority { headers.append(HeaderField(HeaderName.host, authority)) }
        let address = try await address(target, request.head.authority)
        return OSSRequest(
            id: id, arrived: arrived,
            wire: WireRequest(
                method: request.method.rawValue, bucket: address.bucket, key: address.key, query: target.query,
                headers: headers), body: request.body)
    }

    private func address(_ target: RequestTarget, _ authority: String?) async throws -> RequestAddress {
        guard let labels = authority.flatMap({ RequestHost($0).labels }) else { return try target.pathStyle() }
        if let domain {
            return try labels.rest == domain ? target.virtualHost(bucket: labels.first) : target.pathStyle()
        }
        if labels.rest == "localhost" { return try target.virtualHost(bucket: labels.first) }
        // `oss.example.com` is no bucket, unless there is one of that name.
        guard let name = try? BucketName(labels.first), try await pool.run({ (try? store.bucket(name)) != nil }) else {
            return try target.pathStyle()
        }
        return try target.virtualHost(bucket: labels.first)
    }
}
