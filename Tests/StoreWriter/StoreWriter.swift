import LatheTestSupport
import ObjectStorage

/// Writes objects into a bucket until it is killed: whole, in parts, replaced, deleted, with other attributes.
///
/// Every object consists of one number, again and again, which is also in its metadata; so whoever reads it can tell whether
/// it is whole and whether what is said of it is said of these bytes.
@main struct StoreWriter {
    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 3, let seed = UInt64(arguments[2]) else {
            print("usage: StoreWriter DIRECTORY SEED")
            return
        }
        var writer = StoreWriter(
            bucket: try DirectoryStore(path: arguments[1]).ensureBucket(BucketName("disks")),
            generator: SeededGenerator(seed: seed))
        while true { try writer.step() }
    }

    let bucket: DirectoryBucket
    var generator: SeededGenerator

    /// What another writer does at the same time may make a call fail, but only so.
    private static let expected: Set<StoreError.Code> = [
        .objectExists, .noSuchObject, .noSuchUpload, .preconditionFailed, .invalidPart,
    ]

    private mutating func step() throws(StoreError) {
        let key = try ObjectKey(["one", "folder/two", "folder/deep/three"].randomElement(using: &generator) ?? "one")
        let words = Int.random(in: 1...40_000, using: &generator)
        let number = generator.next()
        do throws(StoreError) {
            switch Int.random(in: 0..<8, using: &generator) {
            case 0: try bucket.delete(key)
            case 1: try giveAttributes(key)
            case 2, 3: try putInParts(number, words, key)
            default:
                let replacing = Bool.random(using: &generator)
                _ = try bucket.put(Self.body(number, words), to: key, Self.attributes(number), replacing: replacing)
            }
        } catch {
            guard Self.expected.contains(error.code) else { throw error }
        }
    }

    private static func body(_ number: UInt64, _ words: Int) -> ObjectBody {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(8 * words)
        for _ in 0..<words {
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: number >> shift))
            }
        }
        return ObjectBody(bytes)
    }

    private static func attributes(_ number: UInt64) -> ObjectAttributes {
        ObjectAttributes(userMetadata: ["number": String(number)])
    }

    /// Says the same again, and one thing more.
    private func giveAttributes(_ key: ObjectKey) throws(StoreError) {
        let summary = try bucket.head(key)
        var attributes = summary.attributes
        attributes.contentType = "text/plain"
        try bucket.setAttributes(attributes, of: key, tag: summary.tag)
    }

    private mutating func putInParts(_ number: UInt64, _ words: Int, _ key: ObjectKey) throws(StoreError) {
        let upload = try bucket.initiate(
            key, Self.attributes(number), partLength: UInt64(8 * words), replacing: Bool.random(using: &generator))
        var parts: [StoredPart] = []
        for part in 1...Int.random(in: 1...4, using: &generator) {
            for _ in 0..<Int.random(in: 1...2, using: &generator) {
                _ = try bucket.upload(Self.body(number, words), asPart: part, of: upload)
            }
            parts = try bucket.parts(of: upload)
        }
        if Int.random(in: 0..<4, using: &generator) == 0 {
            try bucket.abort(upload)
        } else {
            do throws(StoreError) {
                _ = try bucket.complete(upload, parts: parts, replacing: true)
            } catch {
                guard error.code == .objectExists else { throw error }
                try bucket.abort(upload)
            }
        }
    }
}
