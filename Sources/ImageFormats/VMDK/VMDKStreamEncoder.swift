import ImageModel

/// Lays out a streamOptimized disk as VMware does: header, descriptor, compressed grains with the table of each run of
/// grains behind it, then the directory, the footer and the end-of-stream marker.
///
/// It holds the place of each table that has a grain: 4 bytes for 32 MiB of disk, since the directory comes last.
struct VMDKStreamEncoder: Sendable {
    /// Sectors of the descriptor, which nobody rewrites; `VMDKDescriptorPlan` never makes more text than this.
    static let descriptorSize: UInt64 = 2
    /// Where the first grain stands, in sectors.
    static let overHead: UInt64 = 128

    /// Sectors of a grain table.
    private static let tableSize = VMDKTables.standardEntriesPerTable * VMDKTables.entryLength / sectorSize

    private struct DirectoryEntry: Sendable {
        var table: UInt32
        var sector: UInt32
    }

    private let plan: VMDKDescriptorPlan
    /// What the CID in the descriptor is made of, until the head is handed out; nil where that is known last.
    private var identity: ContentIdentity?
    /// Whether the head is handed out in front of the grains.
    let goesForward: Bool
    private let tableCount: UInt64
    private var nextSector = overHead
    private var open: VMDKOpenTable?
    private var directory: [DirectoryEntry] = []

    init(_ plan: VMDKDescriptorPlan, identity: ContentIdentity? = nil) {
        self.plan = plan
        self.identity = identity
        goesForward = identity != nil
        tableCount = plan.capacity.dividedRoundingUp(by: VMDKEncoder.grainSize * VMDKTables.standardEntriesPerTable)
    }

    /// Sectors of the directory.
    private var directorySize: UInt64 {
        max(1, tableCount * VMDKTables.entryLength).dividedRoundingUp(by: sectorSize)
    }

    mutating func place(grain: UInt64, storedLength: UInt64, metadata: inout [MetadataSegment]) throws(ImageError)
        -> FileOffset
    {
        handOutKnownHead(metadata: &metadata)
        let table = grain / VMDKTables.standardEntriesPerTable
        if open?.index != table {
            try handOutOpenTable(metadata: &metadata)
            open = VMDKOpenTable(index: table)
        }
        let sector = nextSector
        let length = VMDKMarker.grainMarkerLength + storedLength
        try advance(by: length.dividedRoundingUp(by: sectorSize))
        open?.set(grain: grain, toSector: sector)
        let start = FileOffset(sector * sectorSize)
        metadata.append(
            VMDKMarker.grain(at: start, guestSector: grain * VMDKEncoder.grainSize, size: storedLength))
        return start + VMDKMarker.grainMarkerLength
    }

    /// Header and descriptor where these come last, and all from the next sector on.
    var unsettled: [FileRange] {
        if goesForward {
            return [FileRange(from: FileOffset(nextSector > Self.overHead ? nextSector * sectorSize : 0))]
        }
        return [FileRange(0, length: Self.overHead * sectorSize), FileRange(from: FileOffset(nextSector * sectorSize))]
    }

    /// With all grains placed, in bytes.
    ///
    /// - Parameters:
    ///   - storedLength: of each grain, in bytes.
    ///   - content: how far the disk may hold anything, in sectors.
    func greatestLength(storedLength: UInt64, content: UInt64) throws(ImageError) -> UInt64 {
        let grains = content.dividedRoundingUp(by: VMDKEncoder.grainSize)
        let grainLength = (VMDKMarker.grainMarkerLength + storedLength).dividedRoundingUp(by: sectorSize)
        let tables = Self.overHead + grains * grainLength + tableCount * (1 + Self.tableSize)
        guard tables <= VMDKTables.maximumFileSectors || grains == 0 else { throw Self.tooLarge }
        // Behind them the directory and the footer, each with its marker, and the end of the stream.
        return (tables + 1 + directorySize + 2 + 1) * sectorSize
    }

    mutating func finish(content: ContentIdentity, metadata: inout [MetadataSegment]) throws(ImageError) -> UInt64 {
        handOutKnownHead(metadata: &metadata)
        try handOutOpenTable(metadata: &metadata)
        let directoryOffset = handOutMarker(.grainDirectory, sectors: directorySize, metadata: &metadata)
        var entries = StreamedTable<UInt32>(
            at: FileOffset(directoryOffset * sectorSize), entryCount: tableCount, freeEntry: 0, order: .little)
        for place in directory { entries.set(UInt64(place.table), to: place.sector, metadata: &metadata) }
        entries.finish(metadata: &metadata)

        let footer = handOutMarker(.footer, sectors: 1, metadata: &metadata)
        metadata.append(
            MetadataSegment(at: FileOffset(footer * sectorSize), header(directoryAt: directoryOffset).encoded()))
        // The end-of-stream marker is a sector of zeros, which the length alone makes.
        let end = nextSector + 1
        if !goesForward { handOutHead(of: content, metadata: &metadata) }
        return end * sectorSize
    }

    private mutating func handOutKnownHead(metadata: inout [MetadataSegment]) {
        guard let content = identity else { return }
        handOutHead(of: content, metadata: &metadata)
        identity = nil
    }

    private func handOutHead(of content: ContentIdentity, metadata: inout [MetadataSegment]) {
        metadata.append(MetadataSegment(at: FileOffset(0), header(directoryAt: VMDKHeader.directoryAtEnd).encoded()))
        metadata.append(MetadataSegment(at: FileOffset(sectorSize), plan.text(for: content)))
    }

    private func header(directoryAt directoryOffset: UInt64) -> VMDKHeader {
        VMDKHeader(
            version: 3, flags: [.newlineTest, .compressed, .markers], capacity: plan.capacity,
            grainSize: VMDKEncoder.grainSize, descriptorOffset: 1, descriptorSize: Self.descriptorSize,
            entriesPerTable: VMDKTables.standardEntriesPerTable, redundantDirectoryOffset: 0,
            directoryOffset: directoryOffset, overHead: Self.overHead, compressAlgorithm: VMDKHeader.compressionDeflate)
    }

    /// Hands out the table behind its grains; a table without a grain has no place at all.
    private mutating func handOutOpenTable(metadata: inout [MetadataSegment]) throws(ImageError) {
        guard let table = open else { return }
        guard nextSector + 1 + Self.tableSize <= VMDKTables.maximumFileSectors else { throw Self.tooLarge }
        let sector = handOutMarker(.grainTable, sectors: Self.tableSize, metadata: &metadata)
        metadata.append(MetadataSegment(at: FileOffset(sector * sectorSize), table.bytes))
        directory.append(
            DirectoryEntry(
                table: UInt32(truncatingIfNeeded: table.index), sector: UInt32(truncatingIfNeeded: sector)))
        open = nil
    }

    /// Hands out a marker and makes room for what follows it.
    ///
    /// - Returns: the sector behind the marker.
    private mutating func handOutMarker(
        _ kind: VMDKMarker.Kind, sectors: UInt64, metadata: inout [MetadataSegment]
    ) -> UInt64 {
        let marker = VMDKMarker.metadata(kind, sectors: sectors)
        metadata.append(MetadataSegment(at: FileOffset(nextSector * sectorSize), marker))
        nextSector += 1 + sectors
        return nextSector - sectors
    }

    private mutating func advance(by sectors: UInt64) throws(ImageError) {
        guard nextSector + sectors <= VMDKTables.maximumFileSectors else { throw Self.tooLarge }
        nextSector += sectors
    }

    private static var tooLarge: ImageError { VMDKEncoder.fileTooLarge(hint: "convert to qcow2") }
}
