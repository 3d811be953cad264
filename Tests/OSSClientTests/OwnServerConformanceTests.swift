import Foundation
import ImageModel
import LatheTestSupport
import OSSClient
import OSSServer
import OSSWire
import ObjectStorage
import ObjectStoreConformance
import Testing

/// What every store must do, by our client against our server: nothing is left out.
@Suite struct OwnServerConformanceTests {
    private static let credentials = Credentials(accessKeyID: "test-id", accessKeySecret: "test/secret+")

    private func withServer(
        idleSeconds: Int = 60, _ body: @escaping @Sendable (_ endpoint: String) throws -> Void
    ) async throws {
        let directory = try TemporaryDirectory()
        let store = try DirectoryStore(path: directory.file("store"))
        var configuration = OSSServerConfiguration()
        configuration.credentials = [ServerCredential(Self.credentials)]
        configuration.idleSeconds = idleSeconds
        let server = try await OSSServer.start(store, configuration)
        let endpoint = server.endpoint
        // The client waits, so it has a thread of its own.
        let failures: [any Error] = await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(returning: inThreads(1) { _ in try body(endpoint) })
            }
        }
        await server.stop(patience: 1)
        if let first = failures.first { throw first }
    }

    @Test(arguments: OSSConfiguration.SignatureVersion.allCases, [true, false])
    func ourServerDoesAllOfIt(signature: OSSConfiguration.SignatureVersion, sendsMD5: Bool) async throws {
        try await withServer { endpoint in
            let configuration = try OSSConfiguration(
                endpoint: endpoint, region: "cn-hangzhou", signature: signature, sendsContentMD5: sendsMD5)
            let store = try OSSBucket("lathe-test", configuration, Self.credentials)
            defer { store.shutdown() }
            try store.createBucket()
            var capabilities = ObjectStoreConformance.Capabilities(partLength: 100 << 10)
            capabilities.listedPartCount = 1010
            try ObjectStoreConformance(store, capabilities).run()
        }
    }

    @Test func aWrongSecretIsDenied() async throws {
        try await withServer { endpoint in
            for signature in OSSConfiguration.SignatureVersion.allCases {
                let wrong = Credentials(accessKeyID: "test-id", accessKeySecret: "other")
                let store = try OSSBucket(
                    "lathe-test", OSSConfiguration(endpoint: endpoint, region: "r", signature: signature), wrong)
                defer { store.shutdown() }
                let error = #expect(throws: StoreError.self) { try store.createBucket() }
                #expect(error?.code == .accessDenied && error?.serverCode == "SignatureDoesNotMatch")
            }
        }
    }

    /// Eight parts share so little that each would wait for 11 s, if one after the other went as a whole.
    @Test func partsThatShareLittleBandwidthAllStayConnected() async throws {
        try await withServer(idleSeconds: 5) { endpoint in
            let store = try OSSBucket(
                "lathe-test", OSSConfiguration(endpoint: endpoint, region: "r"), Self.credentials)
            defer { store.shutdown() }
            try store.createBucket()
            let bytes = SampleDisk.numbered(length: 800 << 10, seed: 6)
            let sink = PartFillingSink(partLength: 100 << 10, completeParts: 9)
            try sink.expect([FileRange(0, length: 800 << 10)], unsettled: [])
            try sink.write(data: bytes.span, at: FileOffset(0))
            try sink.finish(length: 800 << 10)
            let session = MultipartSession(
                store, .init(key: try ObjectKey("slow"), attributes: .init(), partLength: 100 << 10, replacing: false),
                limit: BandwidthLimit(bytesPerSecond: 64 << 10))
            let failures = inThreads(8) { _ in
                while let part = try sink.next() {
                    try session.send(part)
                    sink.release(part)
                }
            }
            #expect(failures.isEmpty, "\(failures)")
            let made = try session.finish(attributes: .init(), length: 800 << 10, crc64: ObjectBody(bytes).crc64)
            #expect(made.parts == 8)
        }
    }

    /// Parts of many pieces, from several threads at once.
    @Test func largePartsArriveWhole() async throws {
        try await withServer { endpoint in
            let store = try OSSBucket(
                "lathe-test", OSSConfiguration(endpoint: endpoint, region: "r"), Self.credentials)
            defer { store.shutdown() }
            try store.createBucket()
            let key = try ObjectKey("large")
            let bytes = SampleDisk.numbered(length: 8 << 20, seed: 5)
            let body = ObjectBody(bytes)
            let upload = try store.initiate(key, .init(), partLength: 8 << 20, replacing: false)
            let failures = inThreads(4) { thread in
                for number in stride(from: thread + 1, through: 12, by: 4) {
                    _ = try store.upload(body, asPart: number, of: upload)
                }
            }
            #expect(failures.isEmpty)
            let summary = try store.complete(upload, parts: store.parts(of: upload), replacing: false)
            #expect(summary.length == 96 << 20 && summary.crc64 != nil)
            let isSame = try store.get(key, range: (88 << 20)..<(96 << 20), tag: summary.tag) == bytes
            #expect(isSame)
        }
    }
}
