import NIOCore
import Testing

@testable import HTTPHost

/// Who makes way for whom on a port that is full.
@Suite struct SlotTests {
    private static func table(limit: Int = 4, peerLimit: Int = 3) -> SlotTable<Int> {
        SlotTable(limit: limit, peerLimit: peerLimit, grace: .seconds(1))
    }

    private func at(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(seconds) }

    @Test func whoOpensManyDisplacesHisOwn() {
        var table = Self.table()
        for id in 1...3 { _ = table.admit(id, from: .v4(1), at: at(Int64(id))) }
        var displaced = table.admit(4, from: .v4(1), at: at(3))
        #expect(displaced == [1])
        displaced = table.admit(5, from: .v4(1), at: at(3))
        #expect(displaced == [2])
        #expect(table.count == 3)
    }

    @Test func thePeerWithTheMostMakesWayForAnother() {
        var table = Self.table()
        _ = table.admit(1, from: .v4(7), at: at(0))
        for id in 2...4 { _ = table.admit(id, from: .v4(1), at: at(Int64(id))) }
        #expect(table.hasRoom(at: at(10)))
        // The oldest of all is somebody else's only one.
        let displaced = table.admit(5, from: .v4(9), at: at(10))
        #expect(displaced == [2])
    }

    @Test func whatCameAMomentAgoStaysForThatMoment() {
        var table = Self.table(peerLimit: 4)
        for id in 1...4 { _ = table.admit(id, from: .v4(UInt32(id)), at: at(5)) }
        #expect(!table.hasRoom(at: at(5)))
        #expect(table.nextRoom == at(6))
        #expect(table.hasRoom(at: at(6)))
    }

    @Test func whoeverWasLetInStays() {
        var table = Self.table(peerLimit: 4)
        for id in 1...4 { _ = table.admit(id, from: .v4(1), at: at(0)) }
        table.begin(1)
        table.end(1, isProved: true, at: at(1))
        // A refusal later takes nothing back.
        table.begin(1)
        table.end(1, isProved: false, at: at(1))
        table.begin(2)
        let displaced = table.admit(5, from: .v4(2), at: at(9))
        #expect(displaced == [3])
        table.begin(4)
        table.begin(5)
        #expect(!table.hasRoom(at: at(90)) && table.nextRoom == nil)
        table.end(4, isProved: false, at: at(90))
        #expect(!table.hasRoom(at: at(90)) && table.nextRoom == at(91))
        table.remove(2)
        #expect(table.hasRoom(at: at(90)))
    }

    @Test func theirOwnCountForNobodyElse() {
        var table = Self.table(limit: 100, peerLimit: 2)
        for id in 1...50 { _ = table.admit(id, from: .v4(UInt32(id)), at: at(0)) }
        #expect(table.count == 50)
    }

    /// What one host may call itself is one peer.
    @Test func aPeerIsWhoCanHaveManyAddresses() throws {
        func peer(_ address: String) throws -> PeerNetwork {
            PeerNetwork(try SocketAddress(ipAddress: address, port: 1))
        }
        #expect(try peer("2001:db8:1:2::1") == peer("2001:db8:1:2:ffff::9"))
        #expect(try peer("2001:db8:1:2::1") != peer("2001:db8:1:3::1"))
        #expect(try peer("::ffff:10.0.0.1") == peer("10.0.0.1"))
        #expect(try peer("10.0.0.1") != peer("10.0.0.2"))
        #expect(PeerNetwork(nil) == .unknown)
    }
}
