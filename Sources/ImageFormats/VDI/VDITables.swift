import ImageModel

/// The block map: one 32-bit little-endian entry for each block of the disk.
enum VDITables {
    /// Bytes of a map entry.
    static let entryLength: UInt64 = 4
    /// `VDI_IMAGE_BLOCK_FREE`: never written; undefined, or the parent's, and zero without a parent.
    static let freeBlock: UInt32 = 0xFFFF_FFFF
    /// `VDI_IMAGE_BLOCK_ZERO`: reads as zero, whatever a parent holds.
    static let zeroBlock: UInt32 = 0xFFFF_FFFE

    /// How many entries are read at once.
    private static let sliceCount: UInt64 = 16 << 10

    /// Hands the entries of `blocks` to `body`, in order, until it answers false.
    static func forEachEntry(
        of blocks: Range<UInt64>, mapAt mapOffset: UInt64, in source: any ImageSource,
        _ body: (UInt64, UInt32) throws(ImageError) -> Bool
    ) throws(ImageError) {
        var block = blocks.lowerBound
        var wanted: UInt64 = 64
        while block < blocks.upperBound {
            let count = min(wanted, blocks.upperBound - block)
            let bytes = try source.read(FileRange(mapOffset + block * entryLength, length: count * entryLength))
            for index in 0..<count {
                let entry: UInt32 = bytes.littleEndian(at: Int(index * entryLength))
                guard try body(block + index, entry) else { return }
            }
            block += count
            wanted = sliceCount
        }
    }
}
