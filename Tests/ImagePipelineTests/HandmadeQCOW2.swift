import ImageFormats
import ImageModel
import LatheTestSupport

/// A small qcow2 image with clusters of any size and refcounts of any width, laid out by hand.
struct HandmadeQCOW2 {
    var clusterBits: UInt64 = 12
    var refcountOrder: UInt64 = 4
    var version: UInt32 = 3
    /// A snapshot that shares the L2 table, and with it all data.
    var hasSnapshot = false
    /// Where clusters of data stand; each maps the next cluster of the disk.
    var data: [UInt64] = Array(10..<20)

    static let copied: UInt64 = 1 << 63

    var clusterSize: UInt64 { 1 << clusterBits }
    var refcountBits: UInt64 { 1 << refcountOrder }
    /// Clusters of the parts.
    static let (table, block, l1, l2, snapshots, snapshotL1): (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) =
        (1, 2, 3, 4, 5, 6)

    /// Where the byte stands that holds a refcount (its first byte, for wider ones), and how far it is shifted.
    func refcountPlace(_ cluster: UInt64) -> (byte: UInt64, shift: UInt64) {
        let bit = cluster * refcountBits
        return (Self.block * clusterSize + bit / 8, bit % 8)
    }

    func set(_ refcount: UInt64, of cluster: UInt64, in memory: inout SparseMemory) {
        let (byte, shift) = refcountPlace(cluster)
        if refcountBits >= 8 {
            let width = refcountBits / 8
            let bytes = (0..<width).map { UInt8(truncatingIfNeeded: refcount >> (8 * (width - 1 - $0))) }
            memory.write(bytes, at: byte)
        } else {
            let mask = UInt8(1 << refcountBits - 1)
            let old = memory[byte..<byte + 1][0]
            memory.write([old & ~(mask << UInt8(shift)) | (UInt8(refcount) & mask) << UInt8(shift)], at: byte)
        }
    }

    func image() -> SparseMemory {
        var memory = SparseMemory(name: "handmade qcow2")
        var header = [UInt8](repeating: 0, count: version == 3 ? 112 : 72)
        header.storeBigEndian(UInt32(0x5146_49FB), at: 0)
        header.storeBigEndian(version, at: 4)
        header.storeBigEndian(UInt32(clusterBits), at: 20)
        header.storeBigEndian(UInt64(data.count) * clusterSize, at: 24)
        header.storeBigEndian(UInt32(1), at: 36)
        header.storeBigEndian(Self.l1 * clusterSize, at: 40)
        header.storeBigEndian(Self.table * clusterSize, at: 48)
        header.storeBigEndian(UInt32(1), at: 56)
        if hasSnapshot {
            header.storeBigEndian(UInt32(1), at: 60)
            header.storeBigEndian(Self.snapshots * clusterSize, at: 64)
        }
        if version == 3 {
            header.storeBigEndian(UInt32(refcountOrder), at: 96)
            header.storeBigEndian(UInt32(112), at: 100)
        }
        memory.write(header, at: 0)
        let flag = hasSnapshot ? 0 : Self.copied
        write(Self.block * clusterSize, at: Self.table * clusterSize, to: &memory)
        write(flag | Self.l2 * clusterSize, at: Self.l1 * clusterSize, to: &memory)
        for (index, cluster) in data.enumerated() {
            write(flag | cluster * clusterSize, at: Self.l2 * clusterSize + UInt64(index) * 8, to: &memory)
            memory.write(SampleDisk.full(length: Int(clusterSize), seed: UInt64(index)), at: cluster * clusterSize)
        }
        if hasSnapshot { writeSnapshot(to: &memory) }
        for cluster in [0, Self.table, Self.block, Self.l1] { set(1, of: cluster, in: &memory) }
        for cluster in [Self.l2] + data where cluster < clusterSize * 8 / refcountBits {
            set(hasSnapshot ? 2 : 1, of: cluster, in: &memory)
        }
        memory.truncate(to: memory.length.roundedUp(toMultipleOf: clusterSize) ?? 0)
        return memory
    }

    private func writeSnapshot(to memory: inout SparseMemory) {
        var entry = [UInt8](repeating: 0, count: 64)
        entry.storeBigEndian(Self.snapshotL1 * clusterSize, at: 0)
        entry.storeBigEndian(UInt32(1), at: 8)
        entry.store([0, 1, 0, 1], at: 12)
        entry.storeBigEndian(UInt32(16), at: 36)
        entry.storeBigEndian(UInt64(data.count) * clusterSize, at: 48)
        entry.store("1a".utf8, at: 56)
        memory.write(entry, at: Self.snapshots * clusterSize)
        write(Self.l2 * clusterSize, at: Self.snapshotL1 * clusterSize, to: &memory)
        for cluster in [Self.snapshots, Self.snapshotL1] { set(1, of: cluster, in: &memory) }
    }

    func write(_ word: UInt64, at offset: UInt64, to memory: inout SparseMemory) {
        var bytes = [UInt8](repeating: 0, count: 8)
        bytes.storeBigEndian(word, at: 0)
        memory.write(bytes, at: offset)
    }
}
