import LatheTestSupport
import OSSClient
import OSSWire
import ObjectStorage
import ObjectStoreConformance
import Testing

/// What every store must do, against servers that are not ours.
///
/// What a peer can't is left out by its capabilities, with the reason beside it. Our own server is held to all of it.
@Suite struct PeerConformanceTests {
    @Test(.requiresPeer("weed")) func seaweedFS() throws {
        let server = try PeerServer.seaweedFS(checksSignatures: true)
        let store = try server.s3()
        var capabilities = Self.capabilities(partLength: 5 << 20)
        // Keys are paths of a file system there.
        capabilities.keepsSlashes = false
        capabilities.listsInOrder = false
        // A part that is sent again stands beside the old one; which of the two is taken, their tags do not decide.
        capabilities.replacesParts = false
        capabilities.missesAbortedUploads = false
        // It answers the same again.
        capabilities.forgetsCompletedUploads = false
        try ObjectStoreConformance(store, capabilities).run()
        store.shutdown()
    }

    @Test(.requiresPeer("rclone")) func rclone() throws {
        let server = try PeerServer.rclone()
        let store = try server.s3()
        var capabilities = Self.capabilities(partLength: 256 << 10)
        // Objects are files there: `folder/` is a directory, and tags are made of what is on disk.
        capabilities.keepsSlashes = false
        capabilities.keepsTagOfCompletion = false
        // Parts become the file as they come.
        capabilities.allowsGaps = false
        capabilities.replacesParts = false
        capabilities.keepsUploadsThatFail = false
        try ObjectStoreConformance(store, capabilities).run()
        store.shutdown()
    }

    @Test(.requiresPeer("moto_server")) func moto() throws {
        let server = try PeerServer.moto()
        let store = try server.s3()
        var capabilities = Self.capabilities(partLength: 1 << 20)
        // It answers 500, or all is well; all uploads are of 2010.
        capabilities.namesUnknownUploads = false
        capabilities.forgetsCompletedUploads = false
        capabilities.datesUploads = false
        try ObjectStoreConformance(store, capabilities).run()
        store.shutdown()
    }

    /// No server of S3 has CRC-64s of OSS.
    private static func capabilities(partLength: UInt64) -> ObjectStoreConformance.Capabilities {
        var capabilities = ObjectStoreConformance.Capabilities(partLength: partLength)
        capabilities.keepsCRC64 = false
        return capabilities
    }

    // MARK: The dialect of OSS, as far as these servers take it for their own

    /// Without a configuration it takes every signature; headers of OSS's own it passes over.
    @Test(.requiresPeer("weed")) func seaweedFSTakesVersion4OfOSS() throws {
        let server = try PeerServer.seaweedFS(checksSignatures: false)
        let store = try server.oss(.v4)
        var capabilities = Self.capabilities(partLength: 5 << 20)
        // It escapes a space as S3 does, by '+', which is itself in lists of OSS.
        capabilities.listsSpaces = false
        capabilities.keepsSlashes = false
        capabilities.listsInOrder = false
        capabilities.replacesParts = false
        capabilities.missesAbortedUploads = false
        capabilities.forgetsCompletedUploads = false
        capabilities.refusesReplacing = false
        capabilities.keepsAttributes = false
        capabilities.setsAttributes = false
        try ObjectStoreConformance(store, capabilities).run()
        store.shutdown()
    }

    @Test(.requiresPeer("moto_server")) func motoTakesVersion1OfOSS() throws {
        let server = try PeerServer.moto()
        // moto looks for the service in what stands behind the scheme, between the second and the third of exactly four slashes. A
        // signature in base64 has four now and then, and is then answered 500; with these in the key's ID there are always more.
        let store = try server.oss(.v1, Credentials(accessKeyID: "k/e/y/i/d/s", accessKeySecret: "secret"))
        var capabilities = Self.capabilities(partLength: 1 << 20)
        capabilities.namesUnknownUploads = false
        capabilities.forgetsCompletedUploads = false
        capabilities.datesUploads = false
        capabilities.refusesReplacing = false
        capabilities.keepsAttributes = false
        capabilities.setsAttributes = false
        try ObjectStoreConformance(store, capabilities).run()
        store.shutdown()
    }
}
