import ImageModel

/// The block allocation table of a dynamic VHD, and the bitmaps that stand in front of its blocks.
///
/// Source: "Virtual Hard Disk Image Format Specification" 1.0, "Block Allocation Table and Data Blocks".
///
/// An entry is the sector at which a block's bitmap begins; the block's data follow the bitmap. Blocks may stand in any
/// order, at any sector and with gaps between them.
///
/// A bit of the bitmap is 1 where its sector was written; 0 means that it was not, and in a disk without a parent such
/// a sector reads as zero. The specification has it so, the readers of Xen and VirtualBox go by it, and so does Lathe.
/// QEMU does not look at the bitmap; that makes a difference where a writer took used space for a block without
/// clearing it, as on a logical volume, and there QEMU answers bytes that the guest never saw.
struct VHDTables: Hashable, Sendable {
    /// Bytes of a table entry.
    static let entryLength: UInt64 = 4
    /// The entry of a block that has no place.
    static let unusedEntry: UInt32 = 0xFFFF_FFFF
    /// The sectors of the largest VHD, 2040 GiB.
    ///
    /// Entries of 32 bits reach 2048 GiB, bitmaps and tables included.
    static let maximumSectorCount: UInt64 = 0xFF00_0000

    /// How many entries are read at once.
    private static let sliceCount: UInt64 = 16 << 10

    let headerOffset: UInt64
    let tableOffset: UInt64
    let entryCount: UInt64
    /// In bytes.
    let blockSize: UInt64
    /// In bytes: one bit for each sector of a block, in whole sectors.
    let bitmapLength: UInt64

    init(header: VHDHeader) {
        headerOffset = header.offset
        tableOffset = header.tableOffset
        entryCount = header.maxTableEntries
        blockSize = header.blockSize
        bitmapLength = Self.bitmapLength(blockSize: header.blockSize)
    }

    static func bitmapLength(blockSize: UInt64) -> UInt64 {
        blockSize.dividedRoundingUp(by: sectorSize * 8).dividedRoundingUp(by: sectorSize) * sectorSize
    }

    /// What a block takes in the file, its bitmap included.
    var blockLength: UInt64 { bitmapLength + blockSize }

    /// Where the entry of a block stands.
    func entryOffset(of block: UInt64) -> FileOffset { FileOffset(tableOffset + block * Self.entryLength) }

    /// Where the bitmap of an entry's block begins.
    func bitmapOffset(of entry: UInt32) -> FileOffset { FileOffset(UInt64(entry) * sectorSize) }

    /// Where the data of an entry's block begin.
    func dataOffset(of entry: UInt32) -> FileOffset { bitmapOffset(of: entry) + bitmapLength }

    /// What no block may touch: the footer's copy, the header and the table in whole sectors, in this order.
    var metadata: [FileRange] {
        let tableLength = (entryCount * Self.entryLength).dividedRoundingUp(by: sectorSize) * sectorSize
        return [
            FileRange(0, length: VHDFooter.encodedLength),
            FileRange(headerOffset, length: VHDHeader.encodedLength),
            FileRange(tableOffset, length: tableLength),
        ]
    }

    var metadataOverlapsItself: Bool {
        let ranges = metadata
        return Self.overlap(ranges[0], ranges[1]) || Self.overlap(ranges[0], ranges[2])
            || Self.overlap(ranges[1], ranges[2])
    }

    /// Whether two ranges share a byte.
    static func overlap(_ one: FileRange, _ other: FileRange) -> Bool {
        !one.isEmpty && !other.isEmpty && one.start < other.end && other.start < one.end
    }

    /// Hands the entries of `blocks` to `body`, in order, until it answers false.
    func forEachEntry(
        of blocks: Range<UInt64>, in source: any ImageSource,
        _ body: (UInt64, UInt32) throws(ImageError) -> Bool
    ) throws(ImageError) {
        var block = blocks.lowerBound
        var wanted: UInt64 = 64
        while block < blocks.upperBound {
            let count = min(wanted, blocks.upperBound - block)
            let bytes = try source.read(FileRange(start: entryOffset(of: block), length: count * Self.entryLength))
            for index in 0..<count {
                let entry: UInt32 = bytes.bigEndian(at: Int(index * Self.entryLength))
                guard try body(block + index, entry) else { return }
            }
            block += count
            wanted = Self.sliceCount
        }
    }

    /// Hands the runs of written and unwritten sectors of a part of a block to `body`, until it answers false.
    ///
    /// - Parameters:
    ///   - entry: the block's.
    ///   - sectors: of the block, not empty.
    ///   - body: takes the sectors of a run, and whether they were written.
    func forEachRun(
        of sectors: Range<UInt64>, in entry: UInt32, source: any ImageSource,
        _ body: (Range<UInt64>, Bool) throws(ImageError) -> Bool
    ) throws(ImageError) {
        // Each byte holds eight sectors, the first in its most significant bit.
        let firstByte = sectors.lowerBound / 8
        let length = sectors.upperBound.dividedRoundingUp(by: 8) - firstByte
        let bitmap = try source.read(FileRange(start: bitmapOffset(of: entry) + firstByte, length: length))
        func isWritten(_ sector: UInt64) -> Bool {
            bitmap[Int(sector / 8 - firstByte)] << UInt8(sector % 8) & 0x80 != 0
        }
        var start = sectors.lowerBound
        while start < sectors.upperBound {
            let written = isWritten(start)
            let uniform: UInt8 = written ? 0xFF : 0
            var end = start + 1
            while end < sectors.upperBound {
                if end % 8 == 0, bitmap[Int(end / 8 - firstByte)] == uniform {
                    end = min(end + 8, sectors.upperBound)
                } else if isWritten(end) == written {
                    end += 1
                } else {
                    break
                }
            }
            guard try body(start..<end, written) else { return }
            start = end
        }
    }
}
