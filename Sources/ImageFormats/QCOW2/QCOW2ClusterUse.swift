import ImageModel

/// What an L2 entry refers to, as a checker sees it.
///
/// All that owns a cluster counts, whether the guest reads it or not.
///
/// Source: QEMU `docs/interop/qcow2.rst`, "Cluster mapping" and "Extended L2 Entries".
enum QCOW2ClusterUse: Hashable, Sendable {
    case nothing
    /// The file offset of a cluster, and the bytes from there on to the last one that the guest reads: none of one that is kept
    /// for zeros, and not all where its last subclusters were never written.
    case cluster(UInt64, readLength: UInt64)
    /// An offset in the external data file, of whose clusters nobody counts references.
    case dataFile(UInt64)
    /// Where the compressed bytes are at most: whole sectors from the first byte's on, not clamped to the file's end.
    case compressed(FileRange)
    /// A place that is not at a cluster.
    case misplaced(UInt64)
    /// A compressed cluster in an image whose content is in a data file.
    case packedElsewhere
}

/// Why a table entry can't be what it is.
struct QCOW2EntryFault: Hashable, Sendable {
    var found: String
    var expected: String
    var consequence: String

    static let unreadable = "the guest's bytes there can't be told, and QEMU takes the image for corrupt"

    static func reservedBits(_ bits: UInt64, of entry: UInt64) -> Self {
        Self(
            found: "\(hex(entry))", expected: "the reserved bits \(hex(bits)) clear",
            consequence: "a program can't know what they mean, and the place beside them may be damaged, too")
    }

    static let packedElsewhere = Self(
        found: "compressed", expected: "plain, since the content is in a data file", consequence: unreadable)

    static func misplaced(_ offset: UInt64, clusterSize: UInt64) -> Self {
        Self(
            found: "\(offset)", expected: "a multiple of the cluster size \(clusterSize)", consequence: unreadable)
    }
}

/// How L2 tables are laid out and what their entries mean, by the header.
struct QCOW2EntryRules: Hashable, Sendable {
    /// One bit for each of the 32 subclusters: allocated.
    private static let allocatedSubclusters: UInt64 = 0xFFFF_FFFF

    let clusterBits: UInt64
    let hasZeroFlag: Bool
    let isExtended: Bool
    let hasDataFile: Bool

    init(_ header: QCOW2Header) {
        clusterBits = UInt64(header.clusterBits)
        isExtended = header.hasExtendedL2
        hasDataFile = header.incompatibleFeatures.contains(.externalDataFile)
        hasZeroFlag = header.version >= 3 && !isExtended
    }

    var clusterSize: UInt64 { 1 << clusterBits }
    /// Bytes of an L2 entry: behind an extended one stands the bitmap of its subclusters.
    var entryLength: UInt64 { isExtended ? 16 : QCOW2Tables.entryLength }
    /// Entries of an L2 table, which is one cluster.
    var entryCount: UInt64 { clusterSize / entryLength }
    /// Guest bytes that an L2 table maps.
    var coverage: UInt64 { entryCount * clusterSize }
    /// Words of 64 bits in a cluster.
    var wordCount: UInt64 { clusterSize / QCOW2Tables.entryLength }

    /// - Parameter bitmap: 0 in an image without extended entries.
    func use(of entry: UInt64, _ bitmap: UInt64) -> QCOW2ClusterUse {
        if entry & QCOW2Tables.compressedFlag != 0 {
            guard !hasDataFile else { return .packedElsewhere }
            let sizeShift = 62 - (clusterBits - 8)
            let offset = entry & (1 << sizeShift - 1)
            let additionalSectors = (entry & (1 << 62 - 1)) >> sizeShift
            return .compressed(
                FileRange(offset, length: (additionalSectors + 1) * sectorSize - offset % sectorSize))
        }
        let offset = entry & QCOW2Tables.offsetMask
        if offset % clusterSize != 0 { return .misplaced(offset) }
        guard isAllocated(entry) else { return .nothing }
        if hasDataFile { return .dataFile(offset) }
        let isZero = hasZeroFlag && entry & QCOW2Tables.zeroFlag != 0
        return .cluster(offset, readLength: isExtended ? readLength(bitmap) : isZero ? 0 : clusterSize)
    }

    /// To the end of the last subcluster that is allocated, in bytes.
    private func readLength(_ bitmap: UInt64) -> UInt64 {
        let count = UInt64(UInt32.bitWidth - UInt32(truncatingIfNeeded: bitmap).leadingZeroBitCount)
        return count * (clusterSize / UInt64(UInt32.bitWidth))
    }

    /// What is wrong with an entry beside its place: a reserved bit, or a bitmap that contradicts itself or the entry.
    ///
    /// What the place refers to counts all the same, so that it is no leak.
    func fault(of entry: UInt64, _ bitmap: UInt64) -> QCOW2EntryFault? {
        if entry & QCOW2Tables.compressedFlag != 0 {
            guard bitmap != 0 else { return nil }
            return QCOW2EntryFault(
                found: "compressed and followed by the subcluster bitmap \(hex(bitmap))",
                expected: "no subclusters, since a compressed cluster is one piece",
                consequence: QCOW2EntryFault.unreadable)
        }
        let reserved = entry & (QCOW2Tables.reservedL2Bits | (hasZeroFlag ? 0 : QCOW2Tables.zeroFlag))
        if reserved != 0 { return .reservedBits(reserved, of: entry) }
        return isExtended ? fault(of: bitmap, isAllocated: isAllocated(entry)) : nil
    }

    /// An offset of 0 is no place, but in a data file, where the flag of a sole reference tells.
    private func isAllocated(_ entry: UInt64) -> Bool {
        entry & QCOW2Tables.offsetMask != 0 || hasDataFile && entry & QCOW2Tables.copiedFlag != 0
    }

    /// Bits 0 to 31 say which subclusters are allocated, 32 to 63 which read as zeros; none may be both.
    private func fault(of bitmap: UInt64, isAllocated: Bool) -> QCOW2EntryFault? {
        let both = bitmap >> 32 & bitmap & Self.allocatedSubclusters
        if both != 0 {
            return QCOW2EntryFault(
                found: "followed by the subcluster bitmap \(hex(bitmap))",
                expected: "no subcluster both allocated and zero, as those of the mask \(hex(both)) are",
                consequence: QCOW2EntryFault.unreadable)
        }
        guard !isAllocated, bitmap & Self.allocatedSubclusters != 0 else { return nil }
        return QCOW2EntryFault(
            found: "followed by the subcluster bitmap \(hex(bitmap))",
            expected: "no allocated subcluster, since the entry has no cluster",
            consequence: QCOW2EntryFault.unreadable)
    }

    /// Hands the entries of an L2 table that say anything to `body`, in order, each with its index and its bitmap.
    ///
    /// - Returns: how many words were looked at.
    @discardableResult
    func forEachUsedEntry(
        ofTableAt offset: UInt64, in source: any ImageSource,
        _ body: (UInt64, UInt64, UInt64) throws(ImageError) -> Void
    ) throws(ImageError) -> UInt64 {
        guard isExtended else {
            return try QCOW2Tables.forEachUsedEntry(ofCount: wordCount, tableAt: offset, in: source) {
                (index, entry) throws(ImageError) in try body(index, entry, 0)
            }
        }
        // Words that are zero are passed over, so an entry waits for its bitmap until the next word comes.
        var waiting: (index: UInt64, entry: UInt64)?
        let seen = try QCOW2Tables.forEachUsedEntry(ofCount: wordCount, tableAt: offset, in: source) {
            (word, value) throws(ImageError) in
            let index = word / 2
            if let (first, entry) = waiting {
                waiting = nil
                if word == first * 2 + 1 { return try body(first, entry, value) }
                try body(first, entry, 0)
            }
            if word % 2 == 0 { waiting = (index, value) } else { try body(index, 0, value) }
        }
        if let (index, entry) = waiting { try body(index, entry, 0) }
        return seen
    }
}
