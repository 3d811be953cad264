public import ImageModel

/// Lays out a VHD of exactly the disk's size, dynamic or fixed, that QEMU, Hyper-V, Azure and Xen take alike.
///
/// A dynamic disk has the footer's copy at byte 0, the header at 512, the block allocation table at 1536, then the
/// blocks in guest order, each with its bitmap directly in front of data that stand at a multiple of 4096, and the
/// footer at the end. A fixed disk is the guest's bytes and the footer.
///
/// Options: `subformat`, `block_size` (dynamic) and `align`, which rounds the size of the disk up.
public struct VHDEncoder: ImageEncoder {
    /// The block of a new dynamic disk, in bytes, where none is asked for: the specification's default.
    static let standardBlockSize: UInt64 = 2 << 20
    /// `block_size`: a power of two by the specification, in bytes.
    ///
    /// Hyper-V takes 512 KiB and 2 MiB; QEMU reads every power of two.
    static let blockSizes: ClosedRange<UInt64> = 512 << 10...8 << 20
    /// `align`: up to what the size of the disk can be rounded, in bytes; Azure takes whole MiB only.
    static let alignments: ClosedRange<UInt64> = 512...1 << 30
    /// The data of every block start at a multiple of this, so that whole pages are read and written.
    static let alignment: UInt64 = 4096
    /// The unit in which a fixed disk is written; the format has none.
    static let fixedUnitSize: UInt64 = 64 << 10

    static let headerOffset = VHDFooter.encodedLength
    static let tableOffset = headerOffset + VHDHeader.encodedLength
    public let unitSize: UInt64
    public let storage = UnitStorage.plain
    public let options: [String: String]

    private let type: VHDFooter.DiskType
    public private(set) var writtenSize: UInt64?
    private var virtualSize: UInt64
    /// Of the source, in bytes.
    private let sourceSize: UInt64
    /// Up to what the size of the disk is rounded, in bytes.
    private let sizeAlignment: UInt64
    private let blockSize: UInt64
    /// All sectors of a block written.
    private let fullBitmap: [UInt8]
    private let timestamp: UInt32
    private let blockCount: UInt64
    /// Where the data of the first block go.
    private let dataOffset: UInt64
    private var table: StreamedTable<UInt32>
    /// Not private, so that a test need not place the millions that fill a file.
    var allocatedBlocks: UInt64 = 0
    /// Of a fixed disk.
    private var passedUnits: PassedUnits

    /// - Throws: `limit-exceeded` for a disk of more than 2040 GiB or a time that the footer can't hold;
    ///   `invalid-option`.
    public init(parameters: EncoderParameters, options: FormatOptions) throws(ImageError) {
        var options = options
        let subformat = try options.take("subformat", oneOf: ["dynamic", "fixed"])
        type = subformat == "fixed" ? .fixed : .dynamic
        blockSize = try Self.takeBlockSize(type, &options)
        sizeAlignment = try options.take("align", powerOfTwoIn: Self.alignments) ?? sectorSize
        try options.requireAllTaken(by: .vhd)
        options.settle("timestamp", as: String(parameters.timestamp))
        self.options = options.settled
        unitSize = type == .fixed ? Self.fixedUnitSize : blockSize
        passedUnits = PassedUnits(of: unitSize, isSizeKnown: parameters.isSizeKnown)
        fullBitmap = [UInt8](repeating: 0xFF, count: Int(VHDTables.bitmapLength(blockSize: blockSize)))

        sourceSize = parameters.virtualSize
        virtualSize = parameters.virtualSize.dividedRoundingUp(by: sizeAlignment) * sizeAlignment
        writtenSize = virtualSize > parameters.virtualSize ? virtualSize : nil
        if parameters.isSizeKnown { try Self.requireSize(virtualSize) }
        // An earlier date than the format's first second can't be said, and the first second is the nearest to it.
        let seconds = max(parameters.timestamp, VHDFooter.epoch) - VHDFooter.epoch
        guard let timestamp = UInt32(exactly: seconds) else {
            throw ImageError(
                .limitExceeded,
                "a vhd can't say the time \(parameters.timestamp) (seconds since 1970), whose last is "
                    + "\(VHDFooter.epoch + UInt64(UInt32.max)); give an earlier one")
        }
        self.timestamp = timestamp

        blockCount = type == .fixed ? 0 : virtualSize.dividedRoundingUp(by: blockSize)
        // The table is filled up to a whole sector with entries that are not used.
        let entriesOfSector = sectorSize / VHDTables.entryLength
        let entryCount = blockCount.dividedRoundingUp(by: entriesOfSector) * entriesOfSector
        table = StreamedTable(
            at: FileOffset(Self.tableOffset), entryCount: entryCount, freeEntry: VHDTables.unusedEntry, order: .big)
        let tableEnd = Self.tableOffset + entryCount * VHDTables.entryLength
        let bitmapLength = UInt64(fullBitmap.count)
        dataOffset = (tableEnd + bitmapLength).dividedRoundingUp(by: Self.alignment) * Self.alignment
    }

    public mutating func place(unit: UInt64, storedLength: UInt64, metadata: inout [MetadataSegment])
        throws(ImageError) -> FileOffset
    {
        guard type == .dynamic else {
            passedUnits.pass(unit)
            return FileOffset(unit * unitSize)
        }
        let data = dataPlace(of: allocatedBlocks)
        let bitmap = FileOffset(data.bytes - UInt64(fullBitmap.count))
        let sector = try sector(of: bitmap)
        table.set(unit, to: sector, metadata: &metadata)
        metadata.append(MetadataSegment(at: bitmap, fullBitmap))
        allocatedBlocks += 1
        return data
    }

    /// Behind the data of each block, the page that ends with the next block's bitmap.
    private func dataPlace(of block: UInt64) -> FileOffset {
        FileOffset(dataOffset + block * (blockSize + Self.alignment))
    }

    private func sector(of bitmap: FileOffset) throws(ImageError) -> UInt32 {
        // In blocks of 2 MiB the largest disk ends at sector 0xFF7F9FE0 when all of them are there; smaller ones have more bitmaps.
        guard let sector = UInt32(exactly: bitmap.bytes / sectorSize), sector != VHDTables.unusedEntry else {
            throw ImageError(
                .limitExceeded,
                "the vhd would be longer than the \(UInt64(VHDTables.unusedEntry) * sectorSize) bytes that its 32-bit sector "
                    + "numbers reach; leave block_size out, or convert to qcow2 or vdi")
        }
        return sector
    }

    public func greatestLength() throws(ImageError) -> UInt64 {
        guard type == .dynamic else { return endOfFixedDisk + VHDFooter.encodedLength }
        let blocks = sourceSize.dividedRoundingUp(by: blockSize)
        if blocks > 0 {
            _ = try sector(of: FileOffset(dataPlace(of: blocks - 1).bytes - UInt64(fullBitmap.count)))
        }
        return endOfDynamicDisk(blocks: blocks) + VHDFooter.encodedLength
    }

    /// A fixed disk has nothing in front of its data.
    public var goesForward: Bool { type == .fixed }
    public var takesSizeLast: Bool { type == .fixed }

    public mutating func settle(contentLength: UInt64, virtualSize: UInt64) throws(ImageError) {
        self.virtualSize = virtualSize.dividedRoundingUp(by: sizeAlignment) * sizeAlignment
        writtenSize = self.virtualSize > virtualSize ? self.virtualSize : nil
        try Self.requireSize(self.virtualSize)
        passedUnits.settle()
    }

    private static func requireSize(_ virtualSize: UInt64) throws(ImageError) {
        guard virtualSize <= VHDTables.maximumSectorCount * sectorSize else {
            throw ImageError(
                .limitExceeded,
                "a disk of \(virtualSize) bytes is too large for vhd, which holds at most "
                    + "\(VHDTables.maximumSectorCount * sectorSize) bytes (2040 GiB); convert to qcow2, vdi or raw")
        }
    }

    /// What stands in front of the blocks, less the settled part of the table, and all behind the last block.
    public var unsettled: [FileRange] {
        guard type == .dynamic else {
            // The footer may stand inside what would be the last unit.
            return [FileRange(from: FileOffset(passedUnits.end(size: virtualSize)))]
        }
        // The page of the next bitmap follows the last block.
        let end = dataOffset + allocatedBlocks * (blockSize + Self.alignment) - Self.alignment
        return [
            FileRange(0, length: Self.tableOffset), table.unsettled,
            FileRange(from: FileOffset(max(end, table.unsettled.end.bytes))),
        ]
    }

    public mutating func finish(content: ContentIdentity, metadata: inout [MetadataSegment]) throws(ImageError)
        -> UInt64
    {
        let footer = VHDFooter(
            dataOffset: type == .fixed ? VHDFooter.noDataOffset : Self.headerOffset, timestamp: timestamp,
            originalSize: virtualSize, currentSize: virtualSize, geometry: VHDGeometry(forSize: virtualSize),
            diskType: type, uniqueID: content.uuid(for: "vhd.uniqueId")
        ).encoded()
        let footerOffset = FileOffset(type == .fixed ? endOfFixedDisk : endOfDynamicDisk(blocks: allocatedBlocks))
        if type == .dynamic {
            table.finish(metadata: &metadata)
            let header = VHDHeader(
                offset: Self.headerOffset, tableOffset: Self.tableOffset, maxTableEntries: blockCount,
                blockSize: blockSize)
            metadata.append(MetadataSegment(at: FileOffset(Self.headerOffset), header.encoded()))
            metadata.append(MetadataSegment(at: FileOffset(0), footer))
        }
        metadata.append(MetadataSegment(at: footerOffset, footer))
        return footerOffset.bytes + VHDFooter.encodedLength
    }

    /// The footer of an empty disk stands behind a sector of zeros: at byte 0, QEMU takes it for a dynamic disk's copy.
    private var endOfFixedDisk: UInt64 { max(virtualSize, sectorSize) }

    /// Where the last block ends, or the table where there is no block.
    private func endOfDynamicDisk(blocks: UInt64) -> UInt64 {
        guard blocks > 0 else {
            let tableLength = blockCount * VHDTables.entryLength
            return Self.tableOffset + tableLength.dividedRoundingUp(by: sectorSize) * sectorSize
        }
        return dataPlace(of: blocks).bytes - Self.alignment
    }

    /// - Throws: `invalid-option` for a fixed disk, which has no blocks.
    private static func takeBlockSize(_ type: VHDFooter.DiskType, _ options: inout FormatOptions) throws(ImageError)
        -> UInt64
    {
        let given = try options.take("block_size", powerOfTwoIn: blockSizes)
        guard type == .fixed else {
            options.settle("block_size", as: String(given ?? standardBlockSize))
            return given ?? standardBlockSize
        }
        guard given == nil else {
            throw ImageError(.invalidOption, "option block_size needs subformat=dynamic; a fixed vhd has no blocks")
        }
        return standardBlockSize
    }
}
