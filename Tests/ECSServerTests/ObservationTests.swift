import ECSServer
import ECSWire
import Foundation
import OSSWire
import Testing

/// What probes, metrics and the log show.
@Suite struct ObservationTests {
    @Test func probesTellWhetherItLivesAndIsReady() async throws {
        try await withGateway { own in
            #expect(try await own.get("/healthz").status == 200)
            #expect(try await own.get("/readyz").status == 200)
            own.backend.setUnreadiness("The database is being opened.")
            let answer = try await own.get("/readyz")
            #expect(answer.status == 503 && answer.text == "The database is being opened.\n")
            #expect(try await own.get("/healthz").status == 200)
        }
    }

    @Test(arguments: ["/healthz", "/readyz", "/metrics", "/page"]) func headIsWhereGetIs(path: String) async throws {
        let page = StaticPage(contentType: "text/html; charset=utf-8", Array("<!doctype html>".utf8))
        try await withGateway(pages: ["/page": page]) { own in
            let (get, head) = (try await own.get(path), try await own.get(path, method: "HEAD"))
            #expect(get.status == 200 && head.status == 200 && head.body.isEmpty)
            if path != "/metrics" { #expect(get.header("Content-Length") == head.header("Content-Length")) }
            #expect(get.header("Content-Type") == head.header("Content-Type"))
            let post = try await own.exchange("POST \(path) HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
            #expect(post.status == 405 && post.header("Allow") == "GET, HEAD")
        }
    }

    @Test func pagesAreServedAsTheyAreAndShutIn() async throws {
        let bytes = Array(repeating: Array("<!doctype html>\n<p>é</p>".utf8), count: 10_000).flatMap { $0 }
        let pages = [
            "/console": StaticPage(contentType: "text/html; charset=utf-8", bytes),
            "/console/app.js": StaticPage(contentType: "text/javascript", Array("'use strict'".utf8)),
        ]
        try await withGateway(pages: pages) { own in
            let page = try await own.get("/console?x=1")
            #expect(page.status == 200 && page.body == bytes)
            #expect(page.header("Content-Type") == "text/html; charset=utf-8")
            #expect(page.header("Content-Security-Policy")?.hasPrefix("default-src 'self';") == true)
            #expect(page.header("Content-Security-Policy")?.contains("frame-ancestors 'none'") == true)
            #expect(page.header("Content-Security-Policy")?.contains("unsafe") == false)
            #expect(page.header("X-Content-Type-Options") == "nosniff" && page.header("X-Frame-Options") == "DENY")
            #expect(page.header("Referrer-Policy") == "no-referrer" && page.header("Cache-Control") == "no-store")
            #expect(try await own.get("/console/app.js").body == Array("'use strict'".utf8))
            for path in ["/console/", "/Console", "/console/../metrics", "/%63onsole", "//console", "/nothing"] {
                let answer = try await own.get(path)
                #expect(answer.status == 404 && answer.code == "InvalidAction.NotFound", "\(path)")
            }
        }
    }

    @Test func requestsAreCounted() async throws {
        try await withGateway { own in
            for _ in 0..<3 { #expect(try await own.send(own.signed(own.call("DescribeRegions"))).status == 200) }
            _ = try await own.send(own.signed(own.call("DescribeRegions"), later: -5000))
            // What nobody knows is counted as one, however many names it has.
            for number in 0..<20 { _ = try await own.send(own.signed(own.call("Unknown\(number)"))) }
            let wrong = Credentials(accessKeyID: "AKID", accessKeySecret: "guess")
            for number in 0..<20 { _ = try await own.send(own.signed(own.call("Guess\(number)"), .v1, wrong)) }
            _ = try await own.get("/")
            let records = own.records
            try await eventually { records.all.count == 45 }
            let answer = try await own.get("/metrics")
            #expect(answer.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8")
            let lines = answer.text.split(separator: "\n", omittingEmptySubsequences: false)
            for line in [
                "lathe_api_requests_total{action=\"DescribeRegions\",status=\"200\"} 3",
                "lathe_api_requests_total{action=\"DescribeRegions\",status=\"400\"} 1",
                "lathe_api_requests_total{action=\"other\",status=\"400\"} 21",
                "lathe_api_requests_total{action=\"other\",status=\"404\"} 20", "lathe_api_requests_in_flight 0",
                "lathe_api_request_duration_seconds_count{action=\"DescribeRegions\"} 4",
                "lathe_api_request_duration_seconds_bucket{action=\"DescribeRegions\",le=\"+Inf\"} 4", "lathe_tasks 7",
            ] { #expect(lines.contains(Substring(line)), "\(line)\nin\n\(answer.text)") }
            #expect(answer.text.hasSuffix("\n") && !answer.text.contains("Unknown1") && !answer.text.contains("Guess"))
        }
    }

    @Test func whatIsUnderWayIsShown() async throws {
        try await withGateway { own in
            own.backend.hold(true)
            let call = own.signed(own.call("Wait"))
            let backend = own.backend
            async let answer = own.send(call)
            try await eventually { backend.running == 1 }
            #expect(try await own.get("/metrics").text.contains("lathe_api_requests_in_flight 1\n"))
            backend.hold(false)
            #expect(try await answer.status == 200)
        }
    }

    @Test func bucketsOfTheHistogramAddUp() async throws {
        try await withGateway { own in
            for _ in 0..<5 { _ = try await own.send(own.signed(own.call("DescribeRegions"))) }
            let records = own.records
            try await eventually { records.all.count == 5 }
            let text = try await own.get("/metrics").text
            let counts = text.matches(of: /_bucket\{action="DescribeRegions",le="[^"]*"\} (\d+)/).compactMap {
                Int($0.1)
            }
            #expect(counts.count == 14 && counts == counts.sorted() && counts.last == 5)
        }
    }

    @Test func everyRequestIsRecordedAndNoSecretIs() async throws {
        try await withGateway { own in
            let parameters = ["ImageId": "m-private", "OSSBucket": "private-bucket"]
            let answer = try await own.send(own.signed(own.call("ExportImage", parameters), .v1))
            _ = try await own.send(own.signed(own.call("DescribeImages", parameters), .v3, FakeBackend.temporary))
            _ = try await own.send(
                own.signed(
                    own.call("Evil%0AX", parameters), .v1, Credentials(accessKeyID: "AKID", accessKeySecret: "x")))
            _ = try await own.get("/nothing%0A/../private-path?Signature=abc")
            _ = try await own.get("/healthz")
            let records = own.records
            try await eventually { records.all.count == 5 }
            let all = own.records.all
            #expect(all.map(\.route) == [.api, .api, .api, .unknown, .health])
            #expect(all.map(\.status) == [200, 500, 400, 404, 200])
            #expect(all.map(\.action) == ["ExportImage", "DescribeImages", nil, nil, nil])
            #expect(all.map(\.accountID) == [FakeBackend.account, FakeBackend.account, nil, nil, nil])
            #expect(all.map(\.code) == [nil, "InternalError", "InvalidParameter", "InvalidAction.NotFound", nil])
            #expect(all[0].requestID == answer.header("x-acs-request-id"))
            #expect(all[1].cause == "the database at /secret/path is gone" && all[0].cause == nil)
            #expect(all.allSatisfy { $0.seconds >= 0 })
            #expect(
                all[0].line.hasPrefix("ExportImage 200 ") && all[0].line.hasSuffix(" account \(FakeBackend.account)"))
            let shown = all.map { "\($0) \($0.line)" }.joined()
            for secret in ["private", "top-secret", "sts-secret", "CAIS", "Signature", "AKID", "Evil"] {
                #expect(!shown.contains(secret), "\(secret)")
            }
        }
    }
}
