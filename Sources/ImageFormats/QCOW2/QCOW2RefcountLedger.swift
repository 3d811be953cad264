import ImageModel

/// The refcounts of a file in which compressed units share clusters: counted while units are placed, and given away block by
/// block as soon as a block's counts can't change any more.
///
/// It holds the block of the file's end and that of the cluster that is being filled, whatever the file's length.
struct QCOW2RefcountLedger: Sendable {
    /// A refcount block: its index in the refcount table, and its bytes.
    typealias Block = (index: UInt64, bytes: [UInt8])

    /// The greatest refcount: so many units may share a cluster.
    let maximum: UInt64
    private let bits: UInt64
    private let clusterSize: Int
    /// The refcounts of a block.
    private let capacity: UInt64
    /// Blocks that may still change, in ascending order.
    private(set) var open: [Block] = []
    /// Where each block stands, by its index; 0 for one that has no place yet.
    private(set) var places: [UInt64] = []
    /// How many blocks have a place.
    private(set) var placedCount: UInt64 = 0

    init(_ header: QCOW2Header) {
        bits = header.refcountBits
        maximum = QCOW2Refcounts.maximum(bits: bits)
        clusterSize = Int(header.clusterSize)
        capacity = header.refcountsPerBlock
    }

    /// Counts one more reference to a cluster that has less than the maximum.
    mutating func refer(to cluster: UInt64) {
        let index = cluster / capacity
        let slot: Int
        if let found = open.lastIndex(where: { $0.index == index }) {
            slot = found
        } else {
            slot = open.count
            open.append((index, [UInt8](repeating: 0, count: clusterSize)))
        }
        let (offset, place) = position(of: cluster)
        var refcounts = QCOW2Refcounts(word: open[slot].bytes.bigEndian(at: offset), bits: bits)
        refcounts.set(refcounts.refcount(at: place) + 1, at: place)
        open[slot].bytes.storeBigEndian(refcounts.word, at: offset)
    }

    /// How many references a cluster of an open block has.
    func references(to cluster: UInt64) -> UInt64 {
        let index = cluster / capacity
        guard let block = open.last(where: { $0.index == index }) else { return 0 }
        let (offset, place) = position(of: cluster)
        return QCOW2Refcounts(word: block.bytes.bigEndian(at: offset), bits: bits).refcount(at: place)
    }

    /// Where a cluster's refcount is in its block: the eight bytes, and the place in these.
    private func position(of cluster: UInt64) -> (offset: Int, place: UInt64) {
        let perWord = 64 / bits
        return (Int(cluster % capacity / perWord * 8), cluster % perWord)
    }

    /// Gives away a block whose counts are settled, if there is one; it then needs a place.
    ///
    /// - Parameters:
    ///   - end: the first cluster that is not used; those before it change no more,
    ///   - filling: but for the one that is being filled, if there is one.
    mutating func takeSettled(before end: UInt64, except filling: UInt64?) -> Block? {
        guard
            let index = open.firstIndex(where: { block in
                block.index < end / capacity && filling.map { $0 / capacity } != block.index
            })
        else { return nil }
        return open.remove(at: index)
    }

    /// Gives away all that is left, in ascending order.
    mutating func takeAll() -> [Block] {
        defer { open = [] }
        return open.sorted { $0.index < $1.index }
    }

    /// Notes where a block that was given away is placed.
    mutating func place(_ index: UInt64, at offset: UInt64) {
        while UInt64(places.count) <= index { places.append(0) }
        places[Int(index)] = offset
        placedCount += 1
    }
}
