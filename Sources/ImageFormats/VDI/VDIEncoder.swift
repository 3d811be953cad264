public import ImageModel

/// Lays out a VDI as VirtualBox does: header, block map at 1 MiB, data from the next whole MiB on.
///
/// A dynamic one has the blocks that hold anything, in the order of the disk; a static one has all of them, each at its place, and
/// what of it is zero can be a hole of the file. Options: `subformat`, or `static`, which is what QEMU calls it.
public struct VDIEncoder: ImageEncoder {
    /// The block of a new image, in bytes.
    static let blockSize: UInt64 = 1 << 20
    /// Map and data start at multiples of this.
    static let alignment: UInt64 = 1 << 20

    public let unitSize = blockSize
    public let storage = UnitStorage.plain

    public let options: [String: String]
    private let type: VDIHeader.ImageType
    private let virtualSize: UInt64
    private let blockCount: UInt64
    private let dataOffset: UInt64
    private var map: StreamedTable<UInt32>
    private var allocatedBlocks: UInt32 = 0
    /// How many blocks of a static image are behind: one more than the last that was placed.
    private var passedBlocks: UInt64 = 0

    /// - Throws: `limit-exceeded` for a disk of more blocks than a map may have; `invalid-option`.
    public init(parameters: EncoderParameters, options: FormatOptions) throws(ImageError) {
        var options = options
        type = try Self.takeType(&options)
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
        guard type == .normal else {
            passedBlocks = unit + 1
            return FileOffset(dataOffset + unit * Self.blockSize)
        }
        map.set(unit, to: allocatedBlocks, metadata: &metadata)
        let offset = dataOffset + UInt64(allocatedBlocks) * Self.blockSize
        allocatedBlocks += 1
        return FileOffset(offset)
    }

    /// The header, what is left of the map, and all behind the last block.
    public var unsettled: [FileRange] {
        guard type == .normal else {
            let mapEnd = Self.alignment + blockCount * VDITables.entryLength
            return [
                FileRange(0, length: mapEnd), FileRange(from: FileOffset(dataOffset + passedBlocks * Self.blockSize)),
            ]
        }
        let end = dataOffset + UInt64(allocatedBlocks) * Self.blockSize
        return [FileRange(0, length: Self.alignment), map.unsettled, FileRange(from: FileOffset(end))]
    }

    public func greatestLength() throws(ImageError) -> UInt64 { dataOffset + blockCount * Self.blockSize }

    public mutating func finish(content: ContentIdentity, metadata: inout [MetadataSegment]) throws(ImageError)
        -> UInt64
    {
        let allocated = type == .normal ? UInt64(allocatedBlocks) : blockCount
        if type == .normal {
            map.finish(metadata: &metadata)
        } else {
            metadata.append(
                MetadataSegment(at: FileOffset(Self.alignment), ascendingFrom: 0, by: 1, count: blockCount))
        }
        let header = VDIHeader(
            type: type, mapOffset: Self.alignment, dataOffset: dataOffset, diskSize: virtualSize,
            blockSize: Self.blockSize, blockExtra: 0, blockCount: blockCount, allocatedBlocks: allocated,
            creationUUID: littleEndianFields(content.uuid(for: "vdi.uuidCreate")),
            modificationUUID: littleEndianFields(content.uuid(for: "vdi.uuidModify")),
            linkageUUID: [UInt8](repeating: 0, count: 16))
        metadata.append(MetadataSegment(at: FileOffset(0), header.encoded()))
        return dataOffset + allocated * Self.blockSize
    }

    /// - Throws: `invalid-option` where the two names of the option say different things.
    private static func takeType(_ options: inout FormatOptions) throws(ImageError) -> VDIHeader.ImageType {
        let names = ["dynamic": "off", "static": "on"]
        if let given = options.given("subformat"), let implied = names[given.lowercased()] {
            try options.imply("static", implied, because: "subformat=\(given)")
        }
        let isStatic = try options.take("static", oneOf: ["off", "on"]) == "on"
        _ = try options.take("subformat", oneOf: ["dynamic", "static"])
        options.settle("subformat", as: isStatic ? "static" : "dynamic")
        return isStatic ? .fixed : .normal
    }
}
