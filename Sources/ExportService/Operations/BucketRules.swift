internal import ECSWire
internal import ObjectStorage

/// Whether images of an account may go into a bucket, or come out of it.
enum BucketRules {
    /// Out of these, nothing can be read at once (OSS, "Storage classes").
    private static let slowClasses: Set<String> = ["Archive", "ColdArchive", "DeepColdArchive"]

    /// - Throws: `InvalidOSSBucket.NotFound` for one that is not the account's or not in the region; nothing tells whether it is
    ///   somebody else's.
    static func require(_ name: String, of accountID: String, in regionID: String, _ state: ServiceState)
        throws(APIError) -> BucketRecord
    {
        let row: BucketRecord?
        do throws(StateError) { row = try state.bucket(name) } catch { throw APIError(error) }
        guard let row, row.accountID == accountID, row.regionID == regionID else { throw .bucketNotFound }
        return row
    }

    /// - Throws: `InvalidOSSBucket.NotFound`, `InvalidOSSBucket.NotMatched`, `InvalidOSSBucket.EncryptUnsupported`.
    static func require(_ facts: BucketFacts?, of row: BucketRecord, reading: Bool = false) throws(APIError) {
        guard let facts else { throw .bucketNotFound }
        guard !slowClasses.contains(facts.storageClass) else {
            throw .bucketNotMatched(
                "its storage class is \(facts.storageClass), and what is in it can't be read at once")
        }
        guard facts.encryption == nil else { throw .encryptedBucket }
    }
}

extension ExportService {
    /// The bucket of a request, which has been looked at.
    func requireBucket(_ name: String, _ call: APICall, in regionID: String) throws(APIError) {
        guard (try? BucketName(name)) != nil else {
            throw .bucketNotMatched("its name is not one that a bucket can have")
        }
        let row = try BucketRules.require(name, of: call.accountID, in: regionID, state)
        let facts: BucketFacts?
        do throws(StoreError) { facts = try buckets.facts(of: name) } catch {
            var refusal = APIError.unavailable("The object store can't be reached. Try again.")
            refusal.cause = error.description
            throw refusal
        }
        try BucketRules.require(facts, of: row)
    }
}
