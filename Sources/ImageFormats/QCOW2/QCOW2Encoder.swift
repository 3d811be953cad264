public import ImageModel

/// Lays out a qcow2 image of version 3 so that nothing depends on what comes later in the disk.
///
/// Header, then data clusters in guest order with each L2 table right behind the data that it maps, then the L1 table, the
/// refcount blocks and the refcount table. Nothing is reserved that is not used, and only one L2 table stands in memory.
public struct QCOW2Encoder: ImageEncoder {
    /// `cluster_bits` of a new image.
    static let clusterBits: UInt32 = 16
    /// In bytes.
    static let clusterSize: UInt64 = 1 << UInt64(clusterBits)
    /// `refcount_order` of a new image: 16 bits.
    static let refcountOrder: UInt32 = 4

    /// How many clusters the refcounts of a file take.
    package struct RefcountLayout: Hashable, Sendable {
        package var blocks: UInt64
        package var tableClusters: UInt64

        /// Refcounts count the clusters that they stand in, so both numbers grow until they hold themselves too.
        ///
        /// - Parameter clusters: all other clusters of the file.
        package init(forClusters clusters: UInt64) {
            let refcountsPerBlock = clusterSize * 8 / (1 << UInt64(refcountOrder))
            blocks = 0
            tableClusters = 0
            while true {
                let neededBlocks = (clusters + blocks + tableClusters).dividedRoundingUp(by: refcountsPerBlock)
                let neededTable = (neededBlocks * QCOW2Tables.entryLength).dividedRoundingUp(by: clusterSize)
                if neededBlocks == blocks, neededTable == tableClusters { return }
                blocks = neededBlocks
                tableClusters = neededTable
            }
        }
    }

    public let unitSize = clusterSize
    public let storage = UnitStorage.plain
    public let recordsIdentity = false
    public let options: [String: String]

    private let header: QCOW2Header
    /// The first cluster that is not used.
    private var nextCluster: UInt64 = 1
    /// L1 entries that are set, in order: their indices and the clusters of their L2 tables.
    private var tables: [(index: UInt64, cluster: UInt64)] = []
    /// The L2 table that is being filled, and its index in the L1 table.
    private var l2: [UInt8] = []
    private var l2Index: UInt64 = 0

    /// - Throws: `limit-exceeded` for a disk that needs a longer L1 table than QEMU opens; `invalid-option`.
    public init(parameters: EncoderParameters, options: FormatOptions) throws(ImageError) {
        var options = options
        try options.take("compat", anyNameOf: ["1.1", "v3"])
        try options.take("cluster_size", anyNameOf: ["65536", "64k"])
        try options.take("refcount_bits", anyNameOf: ["16"])
        try options.requireAllTaken(by: .qcow2)
        self.options = options.settled

        var header = QCOW2Header(
            version: 3, clusterBits: Self.clusterBits, diskSize: parameters.virtualSize, l1EntryCount: 0, l1Offset: 0,
            refcountTableOffset: 0, refcountTableClusters: 0, refcountOrder: Self.refcountOrder)
        header.l1EntryCount = header.neededL1Entries
        let maximum = QCOW2Tables.maximumL1Length / QCOW2Tables.entryLength
        guard header.l1EntryCount <= maximum else {
            throw ImageError(
                .limitExceeded,
                "a disk of \(parameters.virtualSize) bytes is too large for qcow2 with clusters of \(Self.clusterSize) "
                    + "bytes, which holds at most \(maximum * header.l2Coverage) bytes; convert to raw")
        }
        self.header = header
    }

    public mutating func place(unit: UInt64, storedLength: UInt64, metadata: inout [MetadataSegment])
        throws(ImageError) -> FileOffset
    {
        let index = unit / header.l2EntryCount
        if index != l2Index { handOutL2(&metadata) }
        if l2.isEmpty {
            l2 = [UInt8](repeating: 0, count: Int(Self.clusterSize))
            l2Index = index
        }
        let offset = nextCluster * Self.clusterSize
        let entry = Int(unit % header.l2EntryCount * QCOW2Tables.entryLength)
        l2.storeBigEndian(offset | QCOW2Tables.copiedFlag, at: entry)
        nextCluster += 1
        return FileOffset(offset)
    }

    /// The header, and all from the next cluster on.
    public var unsettled: [FileRange] {
        [FileRange(0, length: Self.clusterSize), FileRange(from: FileOffset(nextCluster * Self.clusterSize))]
    }

    public mutating func finish(content: ContentIdentity, metadata: inout [MetadataSegment]) throws(ImageError)
        -> UInt64
    {
        handOutL2(&metadata)
        var header = header
        if header.l1EntryCount > 0 { header.l1Offset = handOutL1(&metadata) }
        let layout = RefcountLayout(forClusters: nextCluster)
        header.refcountTableClusters = layout.tableClusters
        guard header.refcountTableRange.length <= QCOW2Tables.maximumRefcountTableLength else {
            throw ImageError(
                .limitExceeded,
                "the image would have \(nextCluster) clusters of \(Self.clusterSize) bytes, more than the refcount table "
                    + "of a qcow2 image can count; convert to raw")
        }
        header.refcountTableOffset = handOutRefcounts(layout, &metadata)
        metadata.append(MetadataSegment(at: FileOffset(0), header.encoded()))
        return nextCluster * Self.clusterSize
    }

    /// Takes the next clusters of the file.
    private mutating func takeClusters(_ count: UInt64) -> UInt64 {
        defer { nextCluster += count }
        return nextCluster * Self.clusterSize
    }

    private mutating func handOutL2(_ metadata: inout [MetadataSegment]) {
        guard !l2.isEmpty else { return }
        tables.append((l2Index, nextCluster))
        metadata.append(MetadataSegment(at: FileOffset(takeClusters(1)), l2))
        l2 = []
    }

    private mutating func handOutL1(_ metadata: inout [MetadataSegment]) -> UInt64 {
        let offset = takeClusters(header.l1Range.length.dividedRoundingUp(by: Self.clusterSize))
        var table = StreamedTable<UInt64>(
            at: FileOffset(offset), entryCount: header.l1EntryCount, freeEntry: 0, order: .big)
        for (index, cluster) in tables {
            table.set(index, to: cluster * Self.clusterSize | QCOW2Tables.copiedFlag, metadata: &metadata)
        }
        table.finish(metadata: &metadata)
        return offset
    }

    /// Every cluster of the file is used exactly once, so all refcounts are one.
    private mutating func handOutRefcounts(_ layout: RefcountLayout, _ metadata: inout [MetadataSegment]) -> UInt64 {
        let blocksOffset = takeClusters(layout.blocks)
        let tableOffset = takeClusters(layout.tableClusters)
        let used = nextCluster * header.refcountBits / 8
        metadata.append(MetadataSegment(at: FileOffset(blocksOffset), repeating: [0, 1], count: nextCluster))
        let unused = layout.blocks * Self.clusterSize - used
        metadata.append(MetadataSegment(at: FileOffset(blocksOffset + used), repeating: [0], count: unused))

        var table = StreamedTable<UInt64>(
            at: FileOffset(tableOffset), entryCount: header.l2EntryCount * layout.tableClusters, freeEntry: 0,
            order: .big)
        for block in 0..<layout.blocks {
            table.set(block, to: blocksOffset + block * Self.clusterSize, metadata: &metadata)
        }
        table.finish(metadata: &metadata)
        return tableOffset
    }
}
