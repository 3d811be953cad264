import Foundation
import LatheTestSupport
import OSSClient
import OSSWire
import ObjectStorage
import Synchronization
import Testing

/// What the client makes of answers that are wrong, late, cut off or not there.
@Suite struct OddAnswerTests {
    /// What must not be waited for is far longer, and what happens at once takes far less, also on a machine that has much to do.
    private static let soon = Duration.seconds(20)

    private let key: ObjectKey
    private let upload: MultipartUpload

    init() throws {
        key = try ObjectKey("dir/k ü+%.raw")
        upload = MultipartUpload(key: key, id: "U/1+2")
    }

    private func failure(
        sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws(StoreError) -> Void
    ) -> StoreError {
        do throws(StoreError) { try body() } catch { return error }
        Issue.record("no error", sourceLocation: sourceLocation)
        return StoreError(.cancelled, "no error")
    }

    /// A store that is asked for a head, of which the server makes what it is told.
    private func headFailure(
        sourceLocation: SourceLocation = #_sourceLocation, _ react: @escaping @Sendable (OddConnection) -> Void
    ) throws -> StoreError {
        let server = try OddServer { _, connection in react(connection) }
        defer { server.end() }
        let store = try server.oss(idleTimeout: 1)
        defer { store.shutdown() }
        return failure(sourceLocation: sourceLocation) { () throws(StoreError) in
            _ = try store.list(prefix: "", after: nil, count: 1)
        }
    }

    // MARK: Connections

    @Test func aServerThatSaysNothingIsATransientError() throws {
        let began = ContinuousClock.now
        let error = try headFailure { $0.waitForEnd() }
        #expect(error.code == .connection && error.isTransient, "\(error)")
        #expect(error.message.contains("stood still for 1.0 s"), "\(error)")
        #expect(ContinuousClock.now - began < Self.soon)
    }

    @Test func aBodyThatStallsIsATransientError() throws {
        let error = try headFailure { connection in
            connection.answer(200, [:], "<ListBucketResult>", length: 500)
            connection.waitForEnd()
        }
        #expect(error.code == .connection && error.isTransient, "\(error)")
    }

    @Test func aBodyThatIsCutOffIsATransientError() throws {
        let error = try headFailure { connection in
            connection.answer(200, [:], "<ListBucketResult>", length: 500)
            connection.close()
        }
        #expect(error.code == .connection && error.isTransient, "\(error)")
    }

    @Test func aConnectionThatIsResetIsATransientError() throws {
        let error = try headFailure { $0.reset() }
        #expect(error.code == .connection && error.isTransient, "\(error)")
    }

    @Test func anAnswerThatIsNotHTTPIsATransientError() throws {
        let error = try headFailure { connection in
            connection.send("SSH-2.0-OpenSSH_9.2\r\n\r\n")
            connection.close()
        }
        #expect(error.code == .connection && error.isTransient, "\(error)")
    }

    @Test func nobodyListeningIsATransientErrorAtOnce() throws {
        let store = try OSSBucket(
            "lathe-test",
            OSSConfiguration(
                endpoint: "http://127.0.0.1:\(try freePort())", region: "r",
                connection: ConnectionOptions(connectTimeout: 60)), nil)
        defer { store.shutdown() }
        let began = ContinuousClock.now
        let error = failure { () throws(StoreError) in _ = try store.head(key) }
        #expect(error.code == .connection && error.isTransient && error.operation?.hasPrefix("HEAD oss://") == true)
        #expect(ContinuousClock.now - began < Self.soon)
    }

    @Test func aStoreThatWasShutDownSaysSo() throws {
        let server = try OddServer { _, connection in connection.waitForEnd() }
        defer { server.end() }
        let store = try server.oss(idleTimeout: 60)
        let failures = Mutex<[StoreError]>([])
        let ended = DispatchSemaphore(value: 0)
        Thread.detachNewThread { [key] in
            do throws(StoreError) { _ = try store.head(key) } catch { failures.withLock { $0.append(error) } }
            ended.signal()
        }
        while server.requests.isEmpty { usleep(1000) }
        store.shutdown()
        #expect(ended.wait(timeout: .now() + 20) == .success)
        #expect(failures.withLock { $0.count } == 1)
        #expect(failure { () throws(StoreError) in _ = try store.head(key) }.code == .cancelled)
        store.shutdown()
    }

    // MARK: Bodies

    /// A server that refuses before it has read the body is heard, and gets no more of it.
    @Test(arguments: [true, false]) func aRefusalBeforeTheBodyIsOverIsHeard(hasBody: Bool) throws {
        let server = try OddServer { _, connection in
            connection.body(100_000)
            if hasBody { connection.refuse(403, "InvalidAccessKeyId") } else { connection.answer(403) }
            connection.waitForEnd()
        }
        defer { server.end() }
        let store = try server.oss(idleTimeout: 60)
        defer { store.shutdown() }
        let handedOut = Mutex(0)
        let body = ObjectBody(zeros: 1 << 30).paced { (bytes) throws(StoreError) in
            handedOut.withLock { $0 += bytes }
        }
        let began = ContinuousClock.now
        let error = failure { () throws(StoreError) in _ = try store.upload(body, asPart: 1, of: upload) }
        #expect(error.code == .accessDenied && !error.isTransient && error.status == 403, "\(error)")
        #expect(error.serverCode == (hasBody ? "InvalidAccessKeyId" : nil), "\(error)")
        #expect(handedOut.withLock { $0 } < 64 << 20)
        #expect(ContinuousClock.now - began < Self.soon)
    }

    /// The same where all of the body has been handed over already, and stands before the network.
    @Test func aRefusalIsHeardWhereverTheBodyStands() throws {
        let server = try OddServer { _, connection in
            connection.answer(403, ["Connection": "close"])
            connection.waitForEnd()
        }
        defer { server.end() }
        let store = try server.oss(idleTimeout: 60)
        defer { store.shutdown() }
        for pieces in 1...28 {
            let began = ContinuousClock.now
            let error = failure { () throws(StoreError) in
                _ = try store.upload(ObjectBody(zeros: UInt64(pieces) * 256 << 10), asPart: 1, of: upload)
            }
            #expect(error.code == .accessDenied, "\(pieces) pieces: \(error)")
            #expect(ContinuousClock.now - began < Self.soon, "\(pieces) pieces")
        }
    }

    /// Nothing that a caller says becomes another header, or another path.
    @Test func keysAndHeadersCannotBreakOut() throws {
        let server = try OddServer { request, connection in
            connection.body(request.length)
            connection.answer(200, ["ETag": "\"x\""])
        }
        defer { server.end() }
        let store = try server.oss()
        defer { store.shutdown() }
        for name in ["a//b/../c/.", "..", "a/./b", "%2e%2e/x", "a?b#c", "a\\b;c"] {
            _ = try store.put(ObjectBody([1]), to: ObjectKey(name), .init(), replacing: true)
            let target = try #require(server.requests.last?.target)
            #expect(target == "/lathe-test/\(PercentEncoding.encode(name, keepingSlashes: true))")
        }
        for attributes in [
            ObjectAttributes(userMetadata: ["a": "b\r\nx-oss-object-acl: public-read"]),
            ObjectAttributes(userMetadata: ["a: b\r\nx": "y"]), ObjectAttributes(contentType: "a\nb: c"),
            ObjectAttributes(acl: "private\r\n\r\nGET / HTTP/1.1"),
        ] {
            let before = server.requests.count
            let error = failure { () throws(StoreError) in
                _ = try store.put(ObjectBody([1]), to: key, attributes, replacing: true)
            }
            #expect(error.code == .invalidRequest && !error.isTransient && server.requests.count == before, "\(error)")
        }
    }

    /// Whoever says that all is well before it has all is not believed.
    @Test func successBeforeTheBodyIsOverIsNoSuccess() throws {
        let server = try OddServer { _, connection in
            connection.body(100_000)
            connection.answer(200, ["ETag": "\"x\""], "well")
            connection.waitForEnd()
        }
        defer { server.end() }
        let store = try server.oss(idleTimeout: 1)
        defer { store.shutdown() }
        let error = failure { () throws(StoreError) in
            _ = try store.upload(ObjectBody(zeros: 1 << 30), asPart: 1, of: upload)
        }
        #expect(error.code == .connection && error.isTransient, "\(error)")
    }

    @Test func aServerThatReadsNoMoreIsATransientError() throws {
        let server = try OddServer { _, connection in
            connection.body(100_000); connection.waitForEnd()
        }
        defer { server.end() }
        let store = try server.oss(idleTimeout: 1)
        defer { store.shutdown() }
        let error = failure { () throws(StoreError) in
            _ = try store.upload(ObjectBody(zeros: 1 << 30), asPart: 1, of: upload)
        }
        #expect(error.code == .connection && error.isTransient, "\(error)")
        #expect(error.message.contains("body was being sent"), "\(error)")
    }

    @Test func aConnectionThatBreaksInTheBodyIsATransientError() throws {
        let server = try OddServer { _, connection in
            connection.body(5 << 20); connection.reset()
        }
        defer { server.end() }
        let store = try server.oss()
        defer { store.shutdown() }
        for _ in 0..<5 {
            let error = failure { () throws(StoreError) in
                _ = try store.upload(ObjectBody(zeros: 64 << 20), asPart: 1, of: upload)
            }
            #expect(error.code == .connection && error.isTransient, "\(error)")
        }
    }

    /// What stops a body, stops the request; the next one is not disturbed.
    @Test func aBodyThatStopsEndsTheRequest() throws {
        let server = try OddServer { request, connection in
            let body = connection.body(request.length)
            connection.answer(200, ["ETag": "\"\(body.count)\""])
        }
        defer { server.end() }
        let store = try server.oss()
        defer { store.shutdown() }
        let left = Mutex(3)
        let body = ObjectBody(zeros: 10 << 20).paced { (_) throws(StoreError) in
            let isOver = left.withLock { left in
                left -= 1
                return left < 0
            }
            if isOver { throw StoreError(.cancelled, "enough") }
        }
        let error = failure { () throws(StoreError) in _ = try store.upload(body, asPart: 1, of: upload) }
        #expect(error.code == .cancelled && error.message == "enough", "\(error)")
        let part = try store.upload(ObjectBody(zeros: 10 << 20), asPart: 1, of: upload)
        #expect(part.tag == "\(10 << 20)")
    }

    /// Bodies of every length around that of a piece arrive whole, one after the other on few connections.
    @Test func bodiesArriveWhole() throws {
        let server = try OddServer { request, connection in
            let body = connection.body(request.length)
            connection.answer(200, ["ETag": "\"\(ObjectBody(body).crc64)\""], "<a>some body</a>")
        }
        defer { server.end() }
        let store = try server.oss()
        defer { store.shutdown() }
        let seed: UInt64 = 3
        for length in [0, 1, 255 << 10, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 512 << 10, 3_000_001] {
            let bytes = SampleDisk.numbered(length: length, seed: seed)
            let part = try store.upload(ObjectBody(bytes), asPart: 1, of: upload)
            #expect(part.tag == "\(ObjectBody(bytes).crc64)", "\(length) bytes, seed \(seed)")
        }
        #expect(Set(server.requests.compactMap { $0.headers["host"] }) == ["127.0.0.1:\(server.port)"])
    }

    @Test func aLongerAnswerThanWasAskedForIsAnError() throws {
        let server = try OddServer { request, connection in
            let isRange = request.headers["range"] != nil
            connection.send("HTTP/1.1 \(isRange ? 206 : 200) OK\r\nETag: \"x\"\r\nTransfer-Encoding: chunked\r\n\r\n")
            let chunk = [UInt8](repeating: 65, count: 1 << 20)
            // 40 MiB, unless nobody listens any more.
            for _ in 0..<40 {
                connection.send("100000\r\n")
                connection.send(chunk)
                connection.send("\r\n")
            }
            connection.send("0\r\n\r\n")
        }
        defer { server.end() }
        let store = try server.oss()
        defer { store.shutdown() }
        let range = failure { () throws(StoreError) in _ = try store.get(key, range: 0..<10, tag: nil) }
        #expect(range.code == .malformedAnswer && !range.isTransient, "\(range)")
        let list = failure { () throws(StoreError) in _ = try store.list(prefix: "", after: nil, count: 10) }
        #expect(list.code == .malformedAnswer && list.message.contains("16777216"), "\(list)")
    }

    @Test func aRangeThatIsNotTheOneAskedForIsAnError() throws {
        let answers: [(Int, [String: String], String, StoreError.Code)] = [
            (206, ["Content-Range": "bytes 5-14/100"], "0123456789", .malformedAnswer),
            (206, [:], "0123456789", .malformedAnswer),
            (206, ["Content-Range": "bytes 0-4/5"], "01234", .invalidRange),
            (206, ["Content-Range": "bytes 0-9/10", "ETag": "\"other\""], "0123456789", .preconditionFailed),
            (206, ["Content-Range": "bytes 0-9/100"], "01234", .connection),
            (200, [:], "01234", .invalidRange),
            (416, [:], "", .invalidRange),
            (206, ["Content-Range": "bytes 0-9/10", "x-oss-hash-crc64ecma": "5"], "0123456789", .checksumMismatch),
        ]
        let number = Mutex(0)
        let server = try OddServer { _, connection in
            let answer = answers[number.withLock { $0 }]
            connection.answer(answer.0, answer.1, answer.2)
        }
        defer { server.end() }
        let store = try server.oss()
        defer { store.shutdown() }
        for (place, answer) in answers.enumerated() {
            number.withLock { $0 = place }
            let error = failure { () throws(StoreError) in _ = try store.get(key, range: 0..<10, tag: "tag") }
            #expect(error.code == answer.3, "answer \(place): \(error)")
        }
        #expect(
            server.requests.allSatisfy { $0.headers["if-match"] == "\"tag\"" && $0.headers["range"] == "bytes=0-9" })
    }
}
