import Foundation
import LatheTestSupport
import OSSServer
import OSSWire
import ObjectStorage
import Testing

/// How buckets are named in requests, and what signatures say of them.
@Suite struct AddressTests {
    @Test func theHostMayNameTheBucket() async throws {
        try await withServer { own in
            for host in ["disks.localhost:\(own.server.port)", "disks.oss.example.com", "DISKS.example.com"] {
                let put = try await own.send("PUT", "a/é +", body: [1], host: host)
                #expect(put.status == 200, "\(host): \(put.testDescription)")
            }
            // Hosts without a bucket of that name are the endpoint itself.
            for host in ["localhost", "127.0.0.1:80", "[::1]:80", "oss.example.com", "other.example.com"] {
                let get = try await own.exchange(
                    "GET /disks/a HTTP/1.1\r\nHost: \(host)\r\n\r\n")
                #expect(get.code == "AccessDenied", "\(host): \(get.testDescription)")
            }
            #expect(try own.bucket.head(ObjectKey("a/é +")).length == 1)
        }
    }

    @Test func withADomainOnlyItsHostsNameBuckets() async throws {
        try await withServer(anonymous: true, { $0.domain = "oss.example.com" }) { own in
            func get(_ path: String, _ host: String) async throws -> Int {
                try await own.exchange("GET \(path) HTTP/1.1\r\nHost: \(host)\r\n\r\n").status
            }
            _ = try own.bucket.put(ObjectBody([1]), to: ObjectKey("x"), .init(), replacing: true)
            #expect(try await get("/x", "disks.oss.example.com") == 200)
            #expect(try await get("/disks/x", "oss.example.com") == 200)
            #expect(try await get("/x", "disks.example.org") == 400)
            #expect(try await get("/disks/x", "disks.example.org") == 200)
            // A bucket is made under its own host.
            let put = try await own.exchange(
                "PUT / HTTP/1.1\r\nHost: made.oss.example.com:80\r\nContent-Length: 0\r\n\r\n")
            #expect(put.status == 200)
            #expect(try own.store.buckets().map(\.name.description) == ["disks", "made"])
        }
    }

    @Test func whatWasSignedCanNotBeChanged() async throws {
        try await withServer { own in
            let now = UInt64(Date().timeIntervalSince1970)
            var request = WireRequest(
                method: "PUT", bucket: "disks", key: "x",
                headers: [HeaderField("x-oss-meta-a", "1"), HeaderField("Content-Type", "text/x-a")])
            OSSSignatureV4.sign(&request, OwnServer.credentials, region: "cn-hangzhou", at: now)
            let mismatch = "SignatureDoesNotMatch"
            let changes: [(target: String, code: String?, change: (inout WireRequest) -> Void)] = [
                ("/disks/x", nil, { _ in }), ("/disks/y", mismatch, { _ in }), ("/disks/x?acl", mismatch, { _ in }),
                ("/disks/x", mismatch, { $0.method = "DELETE" }),
                ("/disks/x", mismatch, { $0.setHeader("x-oss-meta-a", "2") }),
                ("/disks/x", mismatch, { $0.setHeader("x-oss-meta-b", "2") }),
                ("/disks/x", mismatch, { $0.setHeader("Content-Type", "text/x-b") }),
                ("/disks/x", mismatch, { $0.setHeader("x-oss-security-token", "t") }),
                ("/disks/x", "RequestTimeTooSkewed", { $0.setHeader("x-oss-date", "20200101T000000Z") }),
                ("/disks/x", "AccessDenied", { $0.setHeader("x-oss-date", "today") }),
                ("/disks/x", "AccessDenied", { $0.headers.removeAll { $0.name == "Authorization" } }),
                ("/disks/x", "InvalidArgument", { $0.setHeader("x-oss-content-sha256", "00") }),
                ("/disks/x", "InvalidArgument", { $0.setHeader("Authorization", "Basic eA==") }),
                ("/disks/x", "InvalidArgument", { $0.setHeader("Authorization", "OSS4-HMAC-SHA256 x") }),
                ("/disks/x", "InvalidArgument", { $0.setHeader("Authorization", "") }),
            ]
            for (number, (target, code, change)) in changes.enumerated() {
                var changed = request
                change(&changed)
                let fields = changed.headers.map { "\($0.name): \($0.value)\r\n" }.joined()
                let answer = try await own.exchange(
                    "\(changed.method) \(target) HTTP/1.1\r\nHost: h\r\n\(fields)Content-Length: 0\r\n\r\n")
                #expect(answer.code == code, "\(number): \(answer.testDescription)")
            }
        }
    }

    @Test func theTimeOfARequestIsWithinAQuarterOfAnHour() async throws {
        let time: UInt64 = 1_900_000_000
        try await withServer({ $0.clock = { time } }) { own in
            for (offset, code) in [
                (-901, "RequestTimeTooSkewed"), (-900, "NoSuchKey"), (900, "NoSuchKey"), (901, "RequestTimeTooSkewed"),
            ] {
                let answer = try await own.send("GET", "x", at: UInt64(Int(time) + offset))
                #expect(answer.code == code, "\(offset)")
            }
        }
    }

    @Test func aPresignedAddressHasAnEnd() async throws {
        let time: UInt64 = 1_900_000_000
        try await withServer({ $0.clock = { time } }) { own in
            _ = try own.bucket.put(ObjectBody([1]), to: ObjectKey("x"), .init(), replacing: true)
            let request = WireRequest(method: "GET", bucket: "disks", key: "x")
            func get(signed: UInt64, validity: UInt64) async throws -> String? {
                let query = OSSSignatureV4.presignedQuery(
                    request, OwnServer.credentials, region: "cn-hangzhou", at: signed, validity: validity)
                let target = "/disks/x?\(QueryItem.render(query))"
                return try await own.exchange("GET \(target) HTTP/1.1\r\nHost: h\r\n\r\n").code
            }
            #expect(try await get(signed: time - 100, validity: 100) == nil)
            #expect(try await get(signed: time - 101, validity: 100) == "AccessDenied")
            #expect(try await get(signed: time + 901, validity: 100) == "RequestTimeTooSkewed")
            #expect(try await get(signed: time, validity: 7 * 24 * 3600) == nil)
            #expect(try await get(signed: time, validity: 7 * 24 * 3600 + 1) == "InvalidArgument")
            #expect(try await get(signed: time, validity: 0) == "InvalidArgument")
            #expect(try await get(signed: time, validity: .max) == "InvalidArgument")
            let part = "/disks/x?x-oss-signature-version=OSS4-HMAC-SHA256"
            #expect(try await own.exchange("GET \(part) HTTP/1.1\r\nHost: h\r\n\r\n").code == "InvalidArgument")
            let old = OSSSignature.presignedQueryV1(request, OwnServer.credentials, expires: time - 1)
            let late = try await own.exchange(
                "GET /disks/x?\(QueryItem.render(old)) HTTP/1.1\r\nHost: h\r\n\r\n")
            #expect(late.code == "AccessDenied" && late.text.contains("Request has expired."))
        }
    }

    @Test func anAddressThatCanNotBeHadIsAnError() async throws {
        try await withServer { own in
            func failure(port: Int) async -> StoreError? {
                var configuration = OSSServerConfiguration()
                configuration.port = port
                do throws(StoreError) {
                    try await OSSServer.start(own.store, configuration).stop()
                    return nil
                } catch {
                    return error
                }
            }
            #expect(await failure(port: 65536)?.code == .invalidRequest)
            #expect(await failure(port: -1)?.code == .invalidRequest)
            let failure = await failure(port: own.server.port)
            #expect(failure?.code == .connection && failure?.message.contains("port \(own.server.port)") == true)
        }
    }
}
