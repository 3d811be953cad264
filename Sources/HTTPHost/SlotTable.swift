internal import NIOCore

/// The connections of one port, and which of them makes way for a new one: arithmetic alone.
///
/// A connection *waits* until a request on it is carried out: so far it has cost its sender nothing, and says nothing for it.
/// It is *busy* while one is carried out, and *proved* once one came from somebody who may do something here. Only those that
/// wait make way.
struct SlotTable<ID: Hashable> {
    /// How many connections there may be.
    let limit: Int
    /// How many of one peer's may wait.
    let peerLimit: Int
    /// What waits for less than this makes way for its own peer's connections only: its request may have come already.
    let grace: TimeAmount

    private struct Connection {
        let peer: PeerNetwork
        /// How many came before it: of those that wait since the same moment, the first makes way.
        let number: UInt64
        /// Since when it waits; nil where it does not.
        var waitingSince: NIODeadline?
        var isProved = false
    }

    private var connections: [ID: Connection] = [:]
    private var admitted: UInt64 = 0

    init(limit: Int, peerLimit: Int, grace: TimeAmount) {
        self.limit = max(1, limit)
        self.peerLimit = max(1, peerLimit)
        self.grace = grace
    }

    var count: Int { connections.count }

    /// Takes a connection in.
    ///
    /// - Returns: those that are to be closed for it, and are not in the table any more.
    mutating func admit(_ id: ID, from peer: PeerNetwork, at now: NIODeadline) -> [ID] {
        var closed: [ID] = []
        let siblings = waiting.filter { $0.peer == peer }
        if siblings.count >= peerLimit, let oldest = Self.oldest(siblings) {
            closed.append(oldest.id)
            connections[oldest.id] = nil
        }
        if connections.count >= limit, let victim = victim(at: now) {
            closed.append(victim)
            connections[victim] = nil
        }
        connections[id] = Connection(peer: peer, number: admitted, waitingSince: now)
        admitted += 1
        return closed
    }

    mutating func remove(_ id: ID) { connections[id] = nil }

    /// A request on the connection is there as a whole, and is carried out from now on.
    mutating func begin(_ id: ID) { connections[id]?.waitingSince = nil }

    /// The request has been carried out.
    ///
    /// - Parameter isProved: whether it came from somebody who may do something here.
    mutating func end(_ id: ID, isProved: Bool, at now: NIODeadline) {
        guard var connection = connections[id] else { return }
        connection.isProved = connection.isProved || isProved
        connection.waitingSince = connection.isProved ? nil : now
        connections[id] = connection
    }

    /// Whether one more can be taken in.
    func hasRoom(at now: NIODeadline) -> Bool { connections.count < limit || victim(at: now) != nil }

    /// When one of them will make way for a new one, whoever that comes from; nil where none will by waiting alone.
    var nextRoom: NIODeadline? { waiting.map(\.since).min().map { $0 + grace } }

    private typealias Waiting = (id: ID, peer: PeerNetwork, number: UInt64, since: NIODeadline)

    private var waiting: [Waiting] {
        connections.compactMap { id, connection in
            connection.waitingSince.map { (id, connection.peer, connection.number, $0) }
        }
    }

    private static func oldest(_ waiting: [Waiting]) -> Waiting? {
        var oldest: Waiting?
        for connection in waiting {
            guard let known = oldest, (known.since, known.number) <= (connection.since, connection.number) else {
                oldest = connection
                continue
            }
        }
        return oldest
    }

    /// The oldest of the peer with the most: who opens many displaces his own.
    private func victim(at now: NIODeadline) -> ID? {
        let waiting = self.waiting.filter { $0.since + grace <= now }
        var counts: [PeerNetwork: Int] = [:]
        for connection in waiting { counts[connection.peer, default: 0] += 1 }
        let most = counts.values.max() ?? 0
        return Self.oldest(waiting.filter { counts[$0.peer] == most })?.id
    }
}
