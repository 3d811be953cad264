public import ImageModel

/// Lays out a qcow2 image so that nothing depends on what comes later in the disk.
///
/// Header, then data clusters in guest order with each L2 table right behind the data that it maps, then the L1 table, the
/// refcount blocks and the refcount table. Nothing is reserved that is not used, and only one L2 table stands in memory.
/// Where units are compressed, they lie one behind the other as QEMU packs them, and refcount blocks stand among the data
/// that they count; the L1 table comes last of all, and the file ends with the sector in which that ends.
///
/// Options: `compat`, `cluster_size`, `refcount_bits`, `extended_l2`, `compression_type`, `compress` and `compression_level`.
public struct QCOW2Encoder: ImageEncoder {
    /// A cluster; with extended L2 entries a subcluster, unless units are compressed.
    public let unitSize: UInt64
    public let storage: UnitStorage
    public let recordsIdentity = false
    public let options: [String: String]

    private let header: QCOW2Header
    private let clusterSize: UInt64
    private let l2EntryCount: UInt64
    /// Bytes of an L2 entry, its bitmap included.
    private let l2EntryLength: UInt64
    private let hasSubclusters: Bool
    /// More clusters than these can't be counted by the longest refcount table.
    var maximumClusters: UInt64
    /// The first cluster that is not used.
    private var nextCluster: UInt64 = 1
    /// Behind all bytes that were placed: before the last cluster's end only where that has subclusters left.
    private var end: UInt64
    /// L1 entries that are set, in order: their indices and the clusters of their L2 tables.
    private var tables: [(index: UInt64, cluster: UInt64)] = []
    /// The L2 table that is being filled, and its index in the L1 table.
    private var l2: [UInt8] = []
    private var l2Index: UInt64 = 0
    /// Where the last compressed unit ends within a cluster; 0 where none does.
    ///
    /// QEMU's `free_byte_offset`.
    private var freeByte: UInt64 = 0
    /// nil where every cluster of the file is used exactly once.
    private(set) var ledger: QCOW2RefcountLedger?

    /// - Throws: `limit-exceeded` for a disk that needs a longer L1 table than QEMU opens; `invalid-option`.
    public init(parameters: EncoderParameters, options: FormatOptions) throws(ImageError) {
        let layout = try QCOW2Layout(diskSize: parameters.virtualSize, options: options)
        header = layout.header
        self.options = layout.settled
        clusterSize = header.clusterSize
        l2EntryCount = header.l2EntryCount
        l2EntryLength = header.hasExtendedL2 ? 2 * QCOW2Tables.entryLength : QCOW2Tables.entryLength
        hasSubclusters = header.hasExtendedL2 && layout.compression == nil
        unitSize = hasSubclusters ? clusterSize / QCOW2Subclusters.count : clusterSize
        storage = layout.compression.map { .compressed($0) } ?? .plain
        maximumClusters =
            ImageLimits.QCOW2.refcountTableLength / QCOW2Tables.entryLength * header.refcountsPerBlock
        end = clusterSize
        guard layout.compression != nil else { return }
        ledger = QCOW2RefcountLedger(header)
        ledger?.refer(to: 0)
    }

    public mutating func place(unit: UInt64, storedLength: UInt64, metadata: inout [MetadataSegment])
        throws(ImageError) -> FileOffset
    {
        let cluster = hasSubclusters ? unit / QCOW2Subclusters.count : unit
        let index = cluster / l2EntryCount
        if index != l2Index { handOutL2(&metadata) }
        if l2.isEmpty {
            l2 = [UInt8](repeating: 0, count: Int(clusterSize))
            l2Index = index
        }
        guard nextCluster < maximumClusters else { throw tooManyClusters }
        let entry = Int(cluster % l2EntryCount * l2EntryLength)
        if hasSubclusters { return FileOffset(placeSubcluster(unit % QCOW2Subclusters.count, entry)) }
        if storedLength < unitSize {
            let offset = pack(storedLength)
            try l2.storeBigEndian(compressedEntry(offset, storedLength), at: entry)
            settleRefcounts(&metadata)
            return FileOffset(offset)
        }
        let offset = takeClusters(1)
        l2.storeBigEndian(offset | QCOW2Tables.copiedFlag, at: entry)
        if ledger != nil {
            if header.hasExtendedL2 { l2.storeBigEndian(UInt64(UInt32.max), at: entry + 8) }
            settleRefcounts(&metadata)
        }
        return FileOffset(offset)
    }

    /// The header, the cluster that is being filled, and all from the next one on.
    public var unsettled: [FileRange] {
        var ranges = [FileRange(0, length: clusterSize)]
        let fillingEnd = freeByte.dividedRoundingUp(by: clusterSize) * clusterSize
        if freeByte > 0, fillingEnd < end { ranges.append(FileRange(freeByte, length: fillingEnd - freeByte)) }
        let isJoined = freeByte > 0 && fillingEnd == end
        return ranges + [FileRange(from: FileOffset(isJoined ? freeByte : end))]
    }

    public mutating func finish(content: ContentIdentity, metadata: inout [MetadataSegment]) throws(ImageError)
        -> UInt64
    {
        handOutL2(&metadata)
        var header = header
        let length: UInt64
        if ledger != nil {
            length = try handOutShared(&header, &metadata)
        } else {
            if header.l1EntryCount > 0 { header.l1Offset = handOutL1(&metadata) }
            let layout = QCOW2RefcountLayout(forClusters: nextCluster, header)
            header.refcountTableClusters = layout.tableClusters
            guard header.refcountTableRange.length <= ImageLimits.QCOW2.refcountTableLength else {
                throw tooManyClusters
            }
            header.refcountTableOffset = handOutSoleRefcounts(layout, &metadata)
            length = nextCluster * clusterSize
        }
        metadata.append(MetadataSegment(at: FileOffset(0), header.encoded()))
        return length
    }

    private var tooManyClusters: ImageError {
        ImageError(
            .limitExceeded,
            "the image would have more than \(maximumClusters) clusters of \(clusterSize) bytes with refcount_bits="
                + "\(header.refcountBits), more than the refcount table of a qcow2 image can count; take a larger "
                + "cluster_size, or convert to raw")
    }

    /// Compressed or not, each cluster takes one then: what does not become shorter is stored as it is.
    public func greatestLength() throws(ImageError) -> UInt64 {
        let data = header.diskSize.dividedRoundingUp(by: clusterSize)
        let l1Length = header.l1Range.length
        let l1Clusters = l1Length.dividedRoundingUp(by: clusterSize)
        let others = 1 + data + data.dividedRoundingUp(by: l2EntryCount) + l1Clusters
        let layout = QCOW2RefcountLayout(forClusters: others, header)
        guard layout.tableClusters * clusterSize <= ImageLimits.QCOW2.refcountTableLength else {
            throw tooManyClusters
        }
        let clusters = others + layout.blocks + layout.tableClusters
        guard ledger != nil, l1Clusters > 0 else { return clusters * clusterSize }
        return (clusters - l1Clusters) * clusterSize + l1Length.dividedRoundingUp(by: sectorSize) * sectorSize
    }

    /// Takes the next clusters of the file, each for one owner.
    private mutating func takeClusters(_ count: UInt64) -> UInt64 {
        let first = nextCluster
        nextCluster += count
        end = nextCluster * clusterSize
        if ledger != nil {
            for cluster in first..<nextCluster { ledger?.refer(to: cluster) }
        }
        return first * clusterSize
    }
}

// MARK: - Units

extension QCOW2Encoder {
    /// The first subcluster of a cluster that is placed takes the cluster; the others then have their places in it.
    private mutating func placeSubcluster(_ index: UInt64, _ entry: Int) -> UInt64 {
        if l2.bigEndian(UInt64.self, at: entry) == 0 {
            l2.storeBigEndian(takeClusters(1) | QCOW2Tables.copiedFlag, at: entry)
        }
        let cluster = l2.bigEndian(UInt64.self, at: entry) & QCOW2Tables.offsetMask
        let bitmap: UInt64 = l2.bigEndian(at: entry + 8)
        l2.storeBigEndian(bitmap | 1 << index, at: entry + 8)
        end = cluster + (index + 1) * unitSize
        return cluster + index * unitSize
    }

    /// Finds a place for compressed bytes as QEMU does (`qcow2_alloc_bytes`): behind the last ones, where there is room up to
    /// the cluster's end or in the cluster behind it, and else in a new cluster.
    ///
    /// It goes back to the cluster that it filled last, even if others were taken meanwhile.
    private mutating func pack(_ length: UInt64) -> UInt64 {
        var offset = freeByte
        if offset > 0, ledger?.references(to: offset / clusterSize) == ledger?.maximum { offset = 0 }
        if offset == 0 || clusterSize - offset % clusterSize < length {
            let taken = nextCluster * clusterSize
            nextCluster += 1
            end = nextCluster * clusterSize
            if offset == 0 || offset.dividedRoundingUp(by: clusterSize) * clusterSize != taken { offset = taken }
        }
        for cluster in offset / clusterSize...(offset + length - 1) / clusterSize { ledger?.refer(to: cluster) }
        freeByte = offset + length
        if freeByte % clusterSize == 0 { freeByte = 0 }
        return offset
    }

    /// A compressed cluster's L2 entry: the place of its first byte, and how many sectors it touches beside the first.
    ///
    /// Source: QEMU `docs/interop/qcow2.rst`, "Compressed Clusters Descriptor".
    private func compressedEntry(_ offset: UInt64, _ length: UInt64) throws(ImageError) -> UInt64 {
        let sizeShift = 62 - (UInt64(header.clusterBits) - 8)
        guard offset >> sizeShift == 0 else { throw tooManyClusters }
        let additionalSectors = (offset + length - 1) / sectorSize - offset / sectorSize
        return QCOW2Tables.compressedFlag | additionalSectors << sizeShift | offset
    }
}

// MARK: - Tables

extension QCOW2Encoder {
    private mutating func handOutL2(_ metadata: inout [MetadataSegment]) {
        guard !l2.isEmpty else { return }
        tables.append((l2Index, nextCluster))
        metadata.append(MetadataSegment(at: FileOffset(takeClusters(1)), l2))
        l2 = []
        settleRefcounts(&metadata)
    }

    private mutating func handOutL1(_ metadata: inout [MetadataSegment]) -> UInt64 {
        let offset = takeClusters(header.l1Range.length.dividedRoundingUp(by: clusterSize))
        var table = StreamedTable<UInt64>(
            at: FileOffset(offset), entryCount: header.l1EntryCount, freeEntry: 0, order: .big)
        for (index, cluster) in tables {
            table.set(index, to: cluster * clusterSize | QCOW2Tables.copiedFlag, metadata: &metadata)
        }
        table.finish(metadata: &metadata)
        return offset
    }

    /// Every cluster of the file is used exactly once, so all refcounts are one.
    private mutating func handOutSoleRefcounts(_ layout: QCOW2RefcountLayout, _ metadata: inout [MetadataSegment])
        -> UInt64
    {
        let blocksOffset = takeClusters(layout.blocks)
        let tableOffset = takeClusters(layout.tableClusters)
        // Eight bytes of refcounts of one, and the last eight in part.
        let perWord = 64 / header.refcountBits
        var ones = QCOW2Refcounts(word: 0, bits: header.refcountBits)
        for place in 0..<perWord { ones.set(1, at: place) }
        var rest = QCOW2Refcounts(word: 0, bits: header.refcountBits)
        for place in 0..<nextCluster % perWord { rest.set(1, at: place) }
        let words = nextCluster / perWord
        let restStart = blocksOffset + words * QCOW2Tables.entryLength
        metadata.append(
            MetadataSegment(at: FileOffset(blocksOffset), repeating: ones.word.bigEndianBytes, count: words))
        metadata.append(
            MetadataSegment(
                at: FileOffset(restStart), rest.word == 0 ? [] : rest.word.bigEndianBytes))
        let used = (words + (rest.word == 0 ? 0 : 1)) * QCOW2Tables.entryLength
        let clusterSize = clusterSize
        let unused = layout.blocks * clusterSize - used
        metadata.append(MetadataSegment(at: FileOffset(blocksOffset + used), repeating: [0], count: unused))
        let places = (0..<layout.blocks).lazy.map { blocksOffset + $0 * clusterSize }
        handOutRefcountTable(at: tableOffset, clusters: layout.tableClusters, places, &metadata)
        return tableOffset
    }

    private func handOutRefcountTable(
        at offset: UInt64, clusters: UInt64, _ places: some Sequence<UInt64>, _ metadata: inout [MetadataSegment]
    ) {
        var table = StreamedTable<UInt64>(
            at: FileOffset(offset), entryCount: clusters * clusterSize / QCOW2Tables.entryLength, freeEntry: 0,
            order: .big)
        for (index, place) in places.enumerated() { table.set(UInt64(index), to: place, metadata: &metadata) }
        table.finish(metadata: &metadata)
    }

    /// Hands out the refcount blocks that nothing changes any more.
    private mutating func settleRefcounts(_ metadata: inout [MetadataSegment]) {
        guard ledger != nil else { return }
        let filling = freeByte > 0 ? freeByte / clusterSize : nil
        while let block = ledger?.takeSettled(before: nextCluster, except: filling) {
            let offset = takeClusters(1)
            ledger?.place(block.index, at: offset)
            metadata.append(MetadataSegment(at: FileOffset(offset), block.bytes))
        }
    }

    /// Hands out the refcounts that are left, their table and the L1 table, with which the file ends as QEMU's does that has
    /// just been created, but in a whole sector, as QEMU ends one with compressed clusters: some programs take only whole ones.
    ///
    /// - Returns: the file's length.
    private mutating func handOutShared(_ header: inout QCOW2Header, _ metadata: inout [MetadataSegment])
        throws(ImageError) -> UInt64
    {
        guard let placed = ledger?.placedCount else {
            preconditionFailure("clusters are shared where units are packed")
        }
        let l1Length = header.l1Range.length
        let l1Clusters = l1Length.dividedRoundingUp(by: clusterSize)
        let layout = QCOW2RefcountLayout(forClusters: nextCluster + l1Clusters, placed: placed, header)
        header.refcountTableClusters = layout.tableClusters
        guard header.refcountTableRange.length <= ImageLimits.QCOW2.refcountTableLength else { throw tooManyClusters }
        var blockOffset = takeClusters(layout.blocks - placed)
        header.refcountTableOffset = takeClusters(layout.tableClusters)
        if l1Clusters > 0 { header.l1Offset = handOutL1(&metadata) }
        for block in ledger?.takeAll() ?? [] {
            ledger?.place(block.index, at: blockOffset)
            metadata.append(MetadataSegment(at: FileOffset(blockOffset), block.bytes))
            blockOffset += clusterSize
        }
        handOutRefcountTable(
            at: header.refcountTableOffset, clusters: layout.tableClusters, ledger?.places ?? [], &metadata)
        return l1Clusters > 0 ? header.l1Offset + l1Length.dividedRoundingUp(by: sectorSize) * sectorSize : end
    }
}

extension UInt64 {
    /// The bytes, the most significant first.
    fileprivate var bigEndianBytes: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 8)
        bytes.storeBigEndian(self, at: 0)
        return bytes
    }
}
