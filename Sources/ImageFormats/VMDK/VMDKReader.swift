public import ImageModel

/// Maps the guest's bytes in a VMDK of one file: monolithicSparse or streamOptimized, of version 1 to 3, as VMware,
/// VirtualBox, QEMU and others lay it out.
public struct VMDKReader: ImageReader {
    private let header: VMDKHeader
    private let descriptor: VMDKDescriptor
    private let tables: VMDKTables

    public init(source: any ImageSource) throws(ImageError) {
        let head = try VMDKHeader(source: source)
        header = try VMDKFooter.effectiveHeader(head, in: source)
        descriptor = try VMDKDescriptor(header: head, source: source)
        try descriptor.validate(path: source.name, at: FileOffset(head.descriptorOffset * sectorSize))
        tables = try VMDKTables(header, in: source)
    }

    public var virtualSize: UInt64 { header.virtualSize }
    public var unitSize: UInt64? { tables.grainLength }

    public var details: [FormatDetail] {
        var details = [
            FormatDetail("version", .number(UInt64(header.version))),
            FormatDetail("create-type", .text(descriptor.createType)),
            FormatDetail("cid", .number(UInt64(descriptor.contentID))),
            FormatDetail("parent-cid", .number(UInt64(descriptor.parentContentID))),
            FormatDetail("compressed", .flag(header.isCompressed)),
        ]
        if let adapter = descriptor.dataBase["adaptertype"] {
            details.append(FormatDetail("adapter-type", .text(adapter)))
        }
        if let version = descriptor.dataBase["virtualhwversion"] {
            details.append(FormatDetail("hwversion", .text(version)))
        }
        return details
    }

    public func extents(in range: GuestRange, atMost count: Int, from source: any ImageSource) throws(ImageError)
        -> [MappedExtent]
    {
        let tableSpan = tables.grainLength * tables.entriesPerTable
        let touched = range.start.bytes / tableSpan..<range.end.bytes.dividedRoundingUp(by: tableSpan)
        var list = ExtentList()
        var holes = FileHoles()
        try tables.forEachDirectoryEntry(of: touched, in: source) { (table, entry) throws(ImageError) in
            let start = max(table * tableSpan, range.start.bytes)
            let length = min((table + 1) * tableSpan, range.end.bytes) - start
            let span = GuestRange(start, length: length)
            if try isEmpty(directoryEntry: entry, &holes, in: source) {
                list.append(MappedExtent(range: span, mapping: .hole))
            } else {
                try map(span, directoryEntry: entry, atMost: count, into: &list, from: source)
            }
            return list.count <= count
        }
        return Array(list.extents.prefix(count))
    }

    /// Whether a table holds no grain, as far as can be said without reading it.
    private func isEmpty(directoryEntry: UInt32, _ holes: inout FileHoles, in source: any ImageSource)
        throws(ImageError) -> Bool
    {
        if directoryEntry == 0 { return true }
        let range = tables.tableRange(directoryEntry)
        try source.requireHeld(range)
        return try holes.cover(range, of: source)
    }

    /// Maps a guest range that one table covers.
    private func map(
        _ span: GuestRange, directoryEntry: UInt32, atMost count: Int, into list: inout ExtentList,
        from source: any ImageSource
    ) throws(ImageError) {
        let grainLength = tables.grainLength
        let grains = span.start.bytes / grainLength..<span.end.bytes.dividedRoundingUp(by: grainLength)
        var grain = grains.lowerBound
        for entry in try tables.entries(of: grains, directoryEntry: directoryEntry, in: source) {
            let start = max(grain * grainLength, span.start.bytes)
            let length = min((grain + 1) * grainLength, span.end.bytes) - start
            let part = GuestRange(start, length: length)
            let mapping: Mapping
            switch tables.meaning(of: entry) {
            case .unallocated: mapping = .hole
            case .zeroed: mapping = .zero
            case .sector(let sector): mapping = try mappingOfGrain(grain, atSector: sector, part, in: source)
            }
            list.append(MappedExtent(range: part, mapping: mapping))
            if list.count > count { return }
            grain += 1
        }
    }

    private func mappingOfGrain(
        _ grain: UInt64, atSector sector: UInt64, _ part: GuestRange, in source: any ImageSource
    )
        throws(ImageError) -> Mapping
    {
        let guestStart = grain * tables.grainLength
        guard sector >= header.descriptorOffset + header.descriptorSize else {
            throw ImageError(
                .corrupt,
                "the grain table says that grain \(grain) is at file sector \(sector), inside the header or the "
                    + "descriptor; run 'lathe check'", path: source.name, offset: FileOffset(sector * sectorSize))
        }
        if header.isCompressed {
            let stored = try VMDKMarker.grainData(
                atSector: sector, guestSector: grain * tables.grainSize, grainLength: tables.grainLength, in: source)
            // VMware and we fill the last grain of a disk with zeros; QEMU's inflates to no more than what the disk has.
            let content = GuestRange(guestStart, length: tables.grainLength)
            return .compressed(CompressedUnit(stored: stored, content: content, method: .zlib))
        }
        let offset = FileOffset(sector * sectorSize + (part.start.bytes - guestStart))
        try source.requireHeld(FileRange(start: offset, length: part.length))
        return .raw(offset)
    }
}
