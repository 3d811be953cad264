public import ImageModel

/// Maps the guest's bytes in a VHD of type fixed, dynamic or differencing, whoever wrote it.
///
/// The disk has the size that QEMU gives it (`VHDFooter.virtualSize`). A dynamic disk can be read as long as one of its
/// two footers is whole. Sectors that a block's bitmap says were never written read as zero (see `VHDTables`), or as what the
/// parent of a differencing disk has there.
public struct VHDReader: ImageReader {
    private let footer: VHDFooter
    /// nil in a fixed disk.
    private let tables: VHDTables?
    /// No data may reach past this.
    private let dataLimit: FileOffset
    /// nil in a disk without one.
    private let parent: VHDParent?

    public let virtualSize: UInt64

    public init(source: any ImageSource) throws(ImageError) {
        let copies = try VHDFooterCopies(source: source)
        footer = try copies.footer()
        virtualSize = footer.virtualSize
        dataLimit = copies.dataLimit
        guard let header = try Self.header(of: footer, dataLimit: dataLimit, source: source) else {
            (tables, parent) = (nil, nil)
            return
        }
        tables = VHDTables(header: header)
        parent = footer.diskType == .differencing ? try VHDParent(header, in: source) : nil
    }

    /// Reads the dynamic header where there is one, and sees that a fixed disk is all there.
    static func header(of footer: VHDFooter, dataLimit: FileOffset, source: any ImageSource)
        throws(ImageError) -> VHDHeader?
    {
        switch footer.diskType {
        case .fixed:
            guard footer.virtualSize <= dataLimit.bytes else {
                throw ImageError(
                    .truncated,
                    "the VHD is a fixed disk of \(footer.virtualSize) bytes, but its footer stands at byte "
                        + "\(dataLimit.bytes); the file is cut short", path: source.name, offset: dataLimit)
            }
            return nil
        case .dynamic, .differencing:
            let header = try VHDHeader(at: footer.dataOffset, source: source)
            try header.validate(virtualSize: footer.virtualSize, source: source)
            return header
        }
    }

    public func openParent(_ references: any ReferencedFiles, of source: any ImageSource) throws(ImageError)
        -> ParentImage?
    {
        guard let parent else { return nil }
        return ParentImage(source: try parent.open(references, for: source), format: .vhd)
    }

    public var unitSize: UInt64? { tables?.blockSize }

    public var details: [FormatDetail] {
        var list = [
            FormatDetail("subformat", .text(footer.diskType.name)),
            FormatDetail("creator-app", .text(String(decoding: footer.creatorApplication, as: UTF8.self))),
            FormatDetail("creation-time", .number(VHDFooter.epoch + UInt64(footer.timestamp))),
            FormatDetail("current-size", .number(footer.currentSize)),
            FormatDetail("geometry", .text(footer.geometry.description)),
            FormatDetail("uuid", .text(uuidText(footer.uniqueID))),
        ]
        if let tables { list.append(FormatDetail("blocks", .number(tables.entryCount))) }
        if let parent {
            if let name = parent.names.first { list.append(FormatDetail("backing-filename", .text(name))) }
            list.append(FormatDetail("parent-uuid", .text(uuidText(parent.uniqueID))))
        }
        return list
    }

    public func extents(in range: GuestRange, atMost count: Int, from source: any ImageSource) throws(ImageError)
        -> [MappedExtent]
    {
        guard let tables else { return [MappedExtent(range: range, mapping: .raw(FileOffset(range.start.bytes)))] }
        let blockSize = tables.blockSize
        let end = range.end.bytes
        let blocks = range.start.bytes / blockSize..<end.dividedRoundingUp(by: blockSize)
        var list = ExtentList()
        try tables.forEachEntry(of: blocks, in: source) { (block, entry) throws(ImageError) in
            let blockStart = block * blockSize
            let start = max(blockStart, range.start.bytes)
            let guest = GuestRange(start, length: min(blockStart + blockSize, end) - start)
            if entry == VHDTables.unusedEntry {
                list.append(MappedExtent(range: guest, mapping: .hole))
                return list.count <= count
            }
            let data = tables.dataOffset(of: entry)
            try requireBlock(entry, block: block, upTo: data + (guest.end.bytes - blockStart), tables, in: source)
            let endInBlock = (guest.end.bytes - blockStart).dividedRoundingUp(by: sectorSize)
            let sectors = (start - blockStart) / sectorSize..<endInBlock
            try tables.forEachRun(of: sectors, in: entry, source: source) { (run, isWritten) throws(ImageError) in
                let runStart = max(blockStart + run.lowerBound * sectorSize, start)
                let runEnd = min(blockStart + run.upperBound * sectorSize, guest.end.bytes)
                let mapping: Mapping =
                    isWritten ? .raw(data + (runStart - blockStart)) : parent == nil ? .zero : .hole
                list.append(
                    MappedExtent(range: GuestRange(runStart, length: runEnd - runStart), mapping: mapping))
                return list.count <= count
            }
            return list.count <= count
        }
        return Array(list.extents.prefix(count))
    }

    /// Refuses a block that can't be where its entry says, as far as its bytes up to `dataEnd` go.
    private func requireBlock(
        _ entry: UInt32, block: UInt64, upTo dataEnd: FileOffset, _ tables: VHDTables, in source: any ImageSource
    ) throws(ImageError) {
        let start = tables.bitmapOffset(of: entry)
        let range = FileRange(start: start, length: dataEnd - start)
        guard !tables.metadata.contains(where: { VHDTables.overlap($0, range) }) else {
            throw ImageError(
                .corrupt,
                "VHD block allocation table entry \(block) is sector \(entry), which belongs to the footer, the "
                    + "header or the table itself; run 'lathe check'", path: source.name,
                offset: tables.entryOffset(of: block))
        }
        guard dataEnd <= dataLimit else {
            throw ImageError(
                .truncated,
                "VHD block allocation table entry \(block) is sector \(entry), whose block ends at \(dataEnd.bytes), "
                    + "but the data of the file end at \(dataLimit.bytes); it is cut short or the table is damaged",
                path: source.name, offset: tables.entryOffset(of: block))
        }
    }
}
