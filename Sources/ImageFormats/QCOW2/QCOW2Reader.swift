public import ImageModel

/// Maps the guest's bytes in a qcow2 image of version 2 or 3: its active layer, with plain, zero and compressed clusters.
public struct QCOW2Reader: ImageReader {
    private let header: QCOW2Header

    public init(source: any ImageSource) throws(ImageError) {
        header = try QCOW2Header(source: source)
        try header.validate(path: source.name)
        try header.requireReadable(path: source.name)
        try source.requireHeld(FileRange(header.l1Offset, length: header.neededL1Entries * QCOW2Tables.entryLength))
    }

    public var virtualSize: UInt64 { header.virtualSize }
    public var unitSize: UInt64? { header.clusterSize }

    public var details: [FormatDetail] {
        let compat = FormatDetail("compat", .text(header.version == 2 ? "0.10" : "1.1"))
        let compression = FormatDetail("compression-type", .text(header.compressionType == 1 ? "zstd" : "zlib"))
        let refcountBits = FormatDetail("refcount-bits", .number(header.refcountBits))
        guard header.version >= 3 else { return [compat, compression, refcountBits] }
        let features = header.incompatibleFeatures
        return [
            compat, compression,
            FormatDetail("lazy-refcounts", .flag(header.hasLazyRefcounts)),
            refcountBits,
            FormatDetail("corrupt", .flag(features.contains(.corrupt))),
            FormatDetail("extended-l2", .flag(features.contains(.extendedL2))),
        ]
    }

    public func extents(in range: GuestRange, atMost count: Int, from source: any ImageSource) throws(ImageError)
        -> [MappedExtent]
    {
        let coverage = header.l2Coverage
        let tables = range.start.bytes / coverage..<range.end.bytes.dividedRoundingUp(by: coverage)
        var list = ExtentList()
        try QCOW2Tables.forEachEntry(of: tables, tableAt: header.l1Offset, in: source) {
            (index, entry) throws(ImageError) in
            let start = max(index * coverage, range.start.bytes)
            let part = GuestRange(start, length: min((index + 1) * coverage, range.end.bytes) - start)
            switch QCOW2L1Entry(entry, header) {
            case .unallocated:
                list.append(MappedExtent(range: part, mapping: .hole))
            case .table(let offset):
                try append(part, l2At: offset, atMost: count, from: source, to: &list)
            case .invalid(let reason):
                let entryOffset = header.l1Offset + index * QCOW2Tables.entryLength
                throw corruption("qcow2 L1 entry \(index) \(reason)", entryOffset, source)
            }
            return list.count <= count
        }
        return Array(list.extents.prefix(count))
    }

    /// Maps guest bytes that one L2 table covers, until there are more than `count` extents.
    private func append(
        _ range: GuestRange, l2At l2Offset: UInt64, atMost count: Int, from source: any ImageSource,
        to list: inout ExtentList
    ) throws(ImageError) {
        let clusterSize = header.clusterSize
        let first = range.start.bytes / header.l2Coverage * header.l2EntryCount
        let entries =
            range.start.bytes / clusterSize - first..<range.end.bytes.dividedRoundingUp(by: clusterSize) - first
        try source.requireHeld(FileRange(l2Offset, length: clusterSize))
        try QCOW2Tables.forEachEntry(of: entries, tableAt: l2Offset, in: source) { (index, entry) throws(ImageError) in
            let cluster = GuestRange((first + index) * clusterSize, length: clusterSize)
            let start = max(cluster.start, range.start)
            let part = GuestRange(start: start, length: min(cluster.end, range.end) - start)
            let mapping: Mapping
            switch QCOW2L2Entry(entry, header) {
            case .unallocated: mapping = .hole
            case .zero: mapping = .zero
            case .data(let offset):
                let place = FileRange(offset + (start - cluster.start), length: part.length)
                try source.requireHeld(place)
                mapping = .raw(place.start)
            case .compressed(let stored):
                let held = try clamped(stored, to: source)
                mapping = .compressed(CompressedUnit(stored: held, content: cluster, method: header.compressionMethod))
            case .invalid(let reason):
                let entryOffset = l2Offset + index * QCOW2Tables.entryLength
                throw corruption("qcow2 L2 entry \(index) of the table at \(l2Offset) \(reason)", entryOffset, source)
            }
            list.append(MappedExtent(range: part, mapping: mapping))
            return list.count <= count
        }
    }

    /// A stream may end before its last sector does, and the file with it.
    private func clamped(_ stored: FileRange, to source: any ImageSource) throws(ImageError) -> FileRange {
        try source.requireHeld(FileRange(start: stored.start, length: 1))
        return FileRange(start: stored.start, length: min(stored.length, source.length - stored.start.bytes))
    }

    private func corruption(_ message: String, _ offset: UInt64, _ source: any ImageSource) -> ImageError {
        ImageError(.corrupt, message + "; run 'lathe check'", path: source.name, offset: FileOffset(offset))
    }
}
