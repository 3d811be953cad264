internal import CAllocator
public import HummingbirdCore
public import NIOCore
internal import NIOPosix
internal import Synchronization

/// The places for connections of one port: those that nobody has proved anything on make way for new ones.
public final class ConnectionSlots: Sendable {
    private struct State {
        var table: SlotTable<ObjectIdentifier>
        var channels: [ObjectIdentifier: any Channel] = [:]
        /// Those that were taken from the queue and have not ended.
        var openCount = 0
        /// Those of them that were displaced.
        var displacedCount = 0
        /// The most connections since memory was last given back.
        var peak = 0
        /// What takes connections from the queue.
        var listener: (any Channel)?
        /// Whether the queue is left alone until there is room.
        var isHeld = false

        /// Those that are about to come into the table, or have just left it.
        var passing: Int { max(0, openCount - displacedCount - table.count) }
    }

    private let state: Mutex<State>

    /// - Parameters:
    ///   - limit: how many connections there may be; further ones wait in the system's queue, or displace one that waits.
    ///   - peerLimit: how many from one address may be without a request that was let in; nil for half of all.
    ///   - grace: what was accepted less than this ago is not displaced by another address.
    public init(limit: Int, peerLimit: Int? = nil, grace: TimeAmount = .seconds(1)) {
        let table = SlotTable<ObjectIdentifier>(limit: limit, peerLimit: peerLimit ?? max(1, limit / 2), grace: grace)
        state = Mutex(State(table: table))
    }

    /// Says what takes connections from the queue, so that it is told when there is room again.
    public func attend(to listener: any Channel) { state.withLock { $0.listener = listener } }

    /// A request on the connection is there as a whole, and is carried out from now on.
    public func begin(_ channel: any Channel) { state.withLock { $0.table.begin(ObjectIdentifier(channel)) } }

    /// It has been carried out.
    ///
    /// - Parameter isProved: whether it came from somebody who may do something here.
    public func end(_ channel: any Channel, isProved: Bool) {
        let isHeld = state.withLock { state in
            state.table.end(ObjectIdentifier(channel), isProved: isProved, at: .now())
            return state.isHeld
        }
        if isHeld { wakeWhenThereIsRoom() }
    }

    /// Takes in a connection that was accepted, and closes those that make way for it.
    func admit(_ channel: any Channel) {
        let id = ObjectIdentifier(channel)
        let displaced = state.withLock { state in
            state.channels[id] = channel
            state.peak = max(state.peak, state.channels.count)
            let ids = state.table.admit(id, from: PeerNetwork(channel.remoteAddress), at: .now())
            state.displacedCount += ids.count
            return ids.compactMap { state.channels.removeValue(forKey: $0) }
        }
        for channel in displaced { channel.close(promise: nil) }
        channel.closeFuture.whenComplete { [self] _ in
            let isOver = state.withLock { state in
                if state.channels.removeValue(forKey: id) == nil { state.displacedCount -= 1 }
                state.table.remove(id)
                guard state.peak >= Self.crowd, state.channels.count <= state.peak / 8 else { return false }
                state.peak = state.channels.count
                return true
            }
            if isOver { Self.giveMemoryBack() }
        }
    }

    /// From so many connections on, what they leave in memory is worth looking for.
    private static let crowd = 64

    /// What connections had lies between what goes on, where the allocator keeps it for ever unless it is asked.
    private static func giveMemoryBack() { NIOThreadPool.singleton.submit { _ in malloc_trim(0) } }

    // MARK: What the listener asks

    fileprivate func countOpen(_ change: Int) { state.withLock { $0.openCount += change } }

    fileprivate func hasRoom() -> Bool {
        let hasRoom = state.withLock { state in
            let isFull = state.openCount - state.displacedCount >= state.table.limit
            state.isHeld = isFull && (state.passing > 0 || !state.table.hasRoom(at: .now()))
            return !state.isHeld
        }
        if !hasRoom { wakeWhenThereIsRoom() }
        return hasRoom
    }

    /// A connection that ends wakes the listener by itself; one that has waited for long enough does not.
    private func wakeWhenThereIsRoom() {
        let (listener, time) = state.withLock { state in
            (state.listener, state.passing > 0 ? .now() + .milliseconds(10) : state.table.nextRoom)
        }
        guard let listener, let time else { return }
        listener.eventLoop.scheduleTask(deadline: time) { [self] in
            if state.withLock({ $0.isHeld }) { listener.read() }
        }
    }
}

extension ConnectionSlots {
    /// How the listener asks.
    public struct Gate: AvailableConnectionsDelegate {
        let slots: ConnectionSlots

        public init(_ slots: ConnectionSlots) { self.slots = slots }

        public func connectionOpened() { slots.countOpen(1) }
        public func connectionClosed() { slots.countOpen(-1) }
        public func isAcceptingNewConnections() -> Bool { slots.hasRoom() }
    }
}
