public import ImageModel

/// Lays out a dynamic VDI as VirtualBox does: header, block map at 1 MiB, data from the next whole MiB on.
public struct VDIEncoder: ImageEncoder {
    /// The block of a new image, in bytes.
    static let blockSize: UInt64 = 1 << 20
    /// Map and data start at multiples of this.
    static let alignment: UInt64 = 1 << 20

    public let unitSize = blockSize
    public let storage = UnitStorage.plain

    public let options: [String: String]
    private let virtualSize: UInt64
    private let blockCount: UInt64
    private let dataOffset: UInt64
    private var map: StreamedTable<UInt32>
    private var allocatedBlocks: UInt32 = 0

    /// - Throws: `limit-exceeded` for a disk of more blocks than a map may have; `invalid-option`.
    public init(parameters: EncoderParameters, options: FormatOptions) throws(ImageError) {
        var options = options
        try options.take("subformat", anyNameOf: ["dynamic"])
        try options.take("static", anyNameOf: ["off"])
        try options.requireAllTaken(by: .vdi)
        self.options = options.settled

        virtualSize = parameters.virtualSize
        blockCount = virtualSize.dividedRoundingUp(by: Self.blockSize)
        guard blockCount <= ImageLimits.VDI.blockCount else {
            throw ImageError(
                .limitExceeded,
                "a disk of \(virtualSize) bytes is too large for vdi, which holds at most "
                    + "\(ImageLimits.VDI.blockCount * Self.blockSize) bytes; convert to qcow2 or raw")
        }
        let mapLength = blockCount * VDITables.entryLength
        dataOffset = Self.alignment + mapLength.dividedRoundingUp(by: Self.alignment) * Self.alignment
        map = StreamedTable(
            at: FileOffset(Self.alignment), entryCount: blockCount, freeEntry: VDITables.freeBlock, order: .little)
    }

    public mutating func place(unit: UInt64, storedLength: UInt64, metadata: inout [MetadataSegment])
        throws(ImageError) -> FileOffset
    {
        map.set(unit, to: allocatedBlocks, metadata: &metadata)
        let offset = dataOffset + UInt64(allocatedBlocks) * Self.blockSize
        allocatedBlocks += 1
        return FileOffset(offset)
    }

    /// The header, what is left of the map, and all behind the last block.
    public var unsettled: [FileRange] {
        let end = dataOffset + UInt64(allocatedBlocks) * Self.blockSize
        return [FileRange(0, length: Self.alignment), map.unsettled, FileRange(from: FileOffset(end))]
    }

    public mutating func finish(content: ContentIdentity, metadata: inout [MetadataSegment]) throws(ImageError)
        -> UInt64
    {
        map.finish(metadata: &metadata)
        let header = VDIHeader(
            type: .normal, mapOffset: Self.alignment, dataOffset: dataOffset, diskSize: virtualSize,
            blockSize: Self.blockSize, blockExtra: 0, blockCount: blockCount, allocatedBlocks: UInt64(allocatedBlocks),
            creationUUID: littleEndianFields(content.uuid(for: "vdi.uuidCreate")),
            modificationUUID: littleEndianFields(content.uuid(for: "vdi.uuidModify")),
            linkageUUID: [UInt8](repeating: 0, count: 16))
        metadata.append(MetadataSegment(at: FileOffset(0), header.encoded()))
        return dataOffset + UInt64(allocatedBlocks) * Self.blockSize
    }
}
