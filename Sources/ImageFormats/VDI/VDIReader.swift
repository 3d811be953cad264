public import ImageModel

/// Maps the guest's bytes in a VDI of type dynamic, fixed or differencing, as VirtualBox or QEMU lay it out.
public struct VDIReader: ImageReader {
    private let header: VDIHeader

    public init(source: any ImageSource) throws(ImageError) {
        header = try VDIHeader(source: source)
        try header.validate(path: source.name)
    }

    public var virtualSize: UInt64 { header.virtualSize }
    public var unitSize: UInt64? { header.blockSize }

    public func openParent(_ references: any ReferencedFiles, of source: any ImageSource) throws(ImageError)
        -> ParentImage?
    {
        guard header.type == .differencing else { return nil }
        return ParentImage(source: try VDIParent(header).find(references, for: source), format: .vdi)
    }

    public var details: [FormatDetail] {
        var list = [
            FormatDetail("subformat", .text(header.type.name)),
            FormatDetail("blocks", .number(header.blockCount)),
            FormatDetail("allocated-blocks", .number(header.allocatedBlocks)),
            FormatDetail("uuid-create", .text(uuidText(littleEndianFields: header.creationUUID))),
            FormatDetail("uuid-modify", .text(uuidText(littleEndianFields: header.modificationUUID))),
        ]
        if header.type == .differencing {
            list.append(FormatDetail("parent-uuid", .text(uuidText(littleEndianFields: header.linkageUUID))))
        }
        return list
    }

    public func extents(in range: GuestRange, atMost count: Int, from source: any ImageSource) throws(ImageError)
        -> [MappedExtent]
    {
        let blockSize = header.blockSize
        let end = range.end.bytes
        let blocks = range.start.bytes / blockSize..<end.dividedRoundingUp(by: blockSize)
        var list = ExtentList()
        try VDITables.forEachEntry(of: blocks, mapAt: header.mapOffset, in: source) {
            (block, entry) throws(ImageError) in
            let start = max(block * blockSize, range.start.bytes)
            let length = min((block + 1) * blockSize, end) - start
            let mapping: Mapping
            switch entry {
            case VDITables.freeBlock: mapping = .hole
            case VDITables.zeroBlock: mapping = .zero
            default:
                let offset = header.dataOffset(ofBlock: entry) + (start - block * blockSize)
                try requireBlock(entry, mapIndex: block, FileRange(offset, length: length), in: source)
                mapping = .raw(FileOffset(offset))
            }
            list.append(MappedExtent(range: GuestRange(start, length: length), mapping: mapping))
            return list.count <= count
        }
        return Array(list.extents.prefix(count))
    }

    private func requireBlock(_ entry: UInt32, mapIndex: UInt64, _ range: FileRange, in source: any ImageSource)
        throws(ImageError)
    {
        let entryOffset = FileOffset(header.mapOffset + mapIndex * VDITables.entryLength)
        guard UInt64(entry) < header.blockCount else {
            throw ImageError(
                .corrupt,
                "VDI block map entry \(mapIndex) is \(entry), expected less than the \(header.blockCount) blocks of the "
                    + "disk; run 'lathe check'", path: source.name, offset: entryOffset)
        }
        guard !header.isOnMap(range) else {
            throw ImageError(
                .corrupt,
                "VDI block map entry \(mapIndex) is \(entry), which places the block at \(range.start.bytes), inside the map "
                    + "itself; run 'lathe check'", path: source.name, offset: entryOffset)
        }
        try source.requireHeld(range)
    }
}
