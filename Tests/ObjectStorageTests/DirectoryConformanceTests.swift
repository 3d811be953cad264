import LatheTestSupport
import ObjectStorage
import ObjectStoreConformance
import Testing

@Suite struct DirectoryConformanceTests {
    /// Parts that share blocks with their neighbours, and parts that do not.
    @Test(arguments: [128 << 10, 100_001] as [UInt64]) func aDirectoryIsAStoreLikeAnyOther(partLength: UInt64) throws {
        let directory = try TemporaryDirectory()
        let store = try DirectoryStore(path: directory.file("store"))
        let bucket = try store.ensureBucket(BucketName("disks"))
        var capabilities = ObjectStoreConformance.Capabilities(partLength: partLength)
        capabilities.listedPartCount = 1200
        try ObjectStoreConformance(bucket, capabilities, seed: partLength).run()
        // Nothing stays of all that: no directory, no record, no file of a part.
        #expect(try filesBelow(directory.file("store/disks")) == [".lathe/bucket.json"])
    }
}
