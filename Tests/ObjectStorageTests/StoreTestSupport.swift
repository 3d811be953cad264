import Foundation
import LatheTestSupport
import ObjectStorage

/// A directory store of a test's own, with one bucket.
struct OwnStore {
    let directory: TemporaryDirectory
    let store: DirectoryStore
    let bucket: DirectoryBucket

    init() throws {
        directory = try TemporaryDirectory()
        store = try DirectoryStore(path: directory.file("store"))
        bucket = try store.ensureBucket(BucketName("disks"))
    }

    /// The bucket's directory.
    var path: String { directory.file("store/disks") }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    /// The same bucket as another process sees it.
    func reopened() throws -> DirectoryBucket {
        try DirectoryStore(path: directory.file("store")).bucket(BucketName("disks"))
    }

    @discardableResult
    func put(_ bytes: [UInt8], _ key: String, replacing: Bool = true) throws -> ObjectSummary {
        try bucket.put(ObjectBody(bytes), to: ObjectKey(key), .init(), replacing: replacing)
    }

    func bytes(of key: String) throws -> [UInt8] {
        let reader = try bucket.open(ObjectKey(key))
        return reader.summary.length == 0 ? [] : try reader.read(0..<reader.summary.length)
    }
}

/// The paths of all files in a directory, however deep, in order.
func filesBelow(_ path: String) throws -> [String] {
    let root = URL(filePath: path)
    return try FileManager.default.subpathsOfDirectory(atPath: root.path).filter { name in
        var isDirectory: ObjCBool = false
        _ = unsafe FileManager.default.fileExists(atPath: "\(path)/\(name)", isDirectory: &isDirectory)
        return !isDirectory.boolValue
    }.sorted()
}

func write(_ bytes: [UInt8], to path: String) throws { try Data(bytes).write(to: URL(filePath: path)) }

func contents(of path: String) throws -> [UInt8] { try [UInt8](Data(contentsOf: URL(filePath: path))) }

/// What a thread throws that found something wrong: an expectation there belongs to no test.
struct Finding: Error, CustomStringConvertible {
    var description: String
}

func insist(_ condition: Bool, _ what: String) throws {
    if !condition { throw Finding(description: what) }
}
