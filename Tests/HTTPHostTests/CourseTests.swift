import NIOCore
import NIOHTTP1
import Testing

@testable import HTTPHost

/// What a connection's requests and answers come to, and how fast a body comes.
@Suite struct CourseTests {
    private func head(_ fields: HTTPHeaders = [:], _ version: HTTPVersion = .http1_1) -> HTTPRequestHead {
        HTTPRequestHead(version: version, method: .GET, uri: "/", headers: fields)
    }

    @Test func requestsInARowAreAnsweredInARow() {
        var course = RequestCourse()
        var (one, answer) = (head(), HTTPResponseHead(version: .http1_1, status: .ok))
        let arrivals = [course.take(&one), course.take(&one)]
        #expect(arrivals == [.request, .request])
        course.begin(&answer)
        #expect(!answer.headers.contains(name: "Connection"))
        let standings = [course.end(), course.end()]
        #expect(standings == [.more, .idle])
    }

    @Test func theLastAnswerSaysSoAndNoOther() {
        var course = RequestCourse()
        var (one, last) = (head(), head(["Connection": "Keep-Alive, CLOSE"]))
        var (first, second) = (
            HTTPResponseHead(version: .http1_1, status: .ok), HTTPResponseHead(version: .http1_1, status: .ok)
        )
        let arrivals = [course.take(&one), course.take(&last), course.take(&one)]
        #expect(arrivals == [.request, .request, .nothing])
        #expect(last.headers["Connection"] == ["close"])
        course.begin(&first)
        var standings = [course.end()]
        course.begin(&second)
        standings.append(course.end())
        #expect(!first.headers.contains(name: "Connection") && second.headers["Connection"] == ["close"])
        #expect(standings == [.more, .last])
    }

    @Test func anInterimAnswerIsNone() {
        var course = RequestCourse()
        var (one, interim) = (
            head(["Connection": "close"]), HTTPResponseHead(version: .http1_1, status: .continue)
        )
        _ = course.take(&one)
        course.begin(&interim)
        #expect(!interim.headers.contains(name: "Connection"))
    }

    @Test(arguments: [HTTPVersion(major: 0, minor: 9), HTTPVersion(major: 1, minor: 2), .http2])
    func anotherVersionIsNotUnderstood(version: HTTPVersion) {
        var course = RequestCourse()
        var one = head([:], version)
        let arrival = course.take(&one)
        #expect(arrival == .malformed)
    }

    private func at(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(seconds) }

    @Test func aBodyComesAsFastAsItMust() {
        var pace = BodyPace(window: .seconds(10), leastRate: 100)
        pace.ask(at: at(0))
        pace.begin(at: at(0))
        for second in 1...30 {
            let isFastEnough = pace.take(100, at: at(Int64(second)))
            #expect(isFastEnough)
            pace.ask(at: at(Int64(second)))
        }
        let drips = (31...50).map { second in
            defer { pace.ask(at: at(Int64(second))) }
            return pace.take(99, at: at(Int64(second)))
        }
        #expect(drips.contains(false))
    }

    /// What the server's own disk takes is not the client's time.
    @Test func theTimeInWhichNobodyAsksIsNotTheClients() {
        var pace = BodyPace(window: .seconds(10), leastRate: 100)
        pace.begin(at: at(0))
        for hour in 1...30 {
            pace.ask(at: at(Int64(hour) * 3600))
            let isFastEnough = pace.take(1, at: at(Int64(hour) * 3600))
            #expect(isFastEnough)
        }
    }
}
