public import ImageModel

/// Maps the guest's bytes in a qcow2 image of version 2 or 3: the disk as it is now or as an internal snapshot has it, with plain,
/// zero and compressed clusters, and with subclusters.
///
/// Clusters are in the file of the tables, or in an external data file, which then lies behind it in the address space.
public struct QCOW2Reader: ImageReader {
    /// Of the disk that is shown: in a snapshot, with its L1 table and size.
    let header: QCOW2Header
    /// The image's file, which has the tables.
    private let tables: FileRange
    /// Where the file that has the clusters is in the address space: the image's own, or a data file.
    private let clusters: FileRange?
    private let names: Names

    /// What the image names, for `info`.
    private struct Names: Sendable {
        var backingFile: String?
        var backingFormat: String?
        var dataFile: String?
    }

    public init(source: any ImageSource) throws(ImageError) {
        try self.init(source, snapshot: nil, dataFile: nil)
    }

    /// - Parameter dataFile: where the data file is in the address space of the image that is opened.
    private init(_ source: any ImageSource, snapshot: SnapshotSelection?, dataFile: FileRange?) throws(ImageError) {
        var header = try QCOW2Header(source: source)
        try header.validate(path: source.name, unknownFeatures: header.unknownFeatures(in: source))
        try header.requireReadable(path: source.name)
        names = Names(
            backingFile: try header.backingFileName(in: source), backingFormat: try header.backingFormat(in: source),
            dataFile: try header.externalDataFileName(in: source))
        if let snapshot {
            let found = try QCOW2SnapshotTable.find(snapshot, header, in: source)
            header = try header.showing(found, path: source.name)
        }
        self.header = header
        tables = FileRange(0, length: source.length)
        clusters = header.hasDataFile ? dataFile : tables
        try source.requireHeld(FileRange(header.l1Offset, length: header.neededL1Entries * QCOW2Tables.entryLength))
    }

    public static func open(
        _ source: any ImageSource, _ references: any ReferencedFiles, snapshot: SnapshotSelection?
    ) throws(ImageError) -> OpenedImage {
        let reader = try Self(source, snapshot: snapshot, dataFile: nil)
        guard let name = reader.names.dataFile else { return OpenedImage(reader: reader, source: source) }
        let purpose = "this qcow2 image keeps its content in an external data file"
        let path: String
        do throws(ImageError) { path = try QCOW2BackingName(name, in: source.name).path } catch {
            throw error.explained(purpose)
        }
        let file = try references.open(path, because: purpose, namedBy: source)
        if let own = source.identity, let identity = file.identity, own.isSameFile(as: identity) {
            throw ImageError(
                .corrupt, "the qcow2 image says that it is its own data file; tables can't be content",
                path: source.name)
        }
        let joined = try JoinedSource([source, file])
        return OpenedImage(
            reader: try Self(source, snapshot: snapshot, dataFile: joined.range(of: 1)), source: joined)
    }

    public var virtualSize: UInt64 { header.virtualSize }
    public var unitSize: UInt64? { header.clusterSize }

    public var details: [FormatDetail] {
        var list = [
            FormatDetail("compat", .text(header.version == 2 ? "0.10" : "1.1")),
            FormatDetail("compression-type", .text(header.compressionType == 1 ? "zstd" : "zlib")),
        ]
        if header.version >= 3 { list.append(FormatDetail("lazy-refcounts", .flag(header.hasLazyRefcounts))) }
        list.append(FormatDetail("refcount-bits", .number(header.refcountBits)))
        if header.version >= 3 {
            list.append(FormatDetail("corrupt", .flag(header.incompatibleFeatures.contains(.corrupt))))
            list.append(FormatDetail("extended-l2", .flag(header.hasExtendedL2)))
        }
        if let name = names.dataFile {
            list.append(FormatDetail("data-file", .text(name)))
            list.append(FormatDetail("data-file-raw", .flag(header.hasRawDataFile)))
        }
        if let name = names.backingFile { list.append(FormatDetail("backing-filename", .text(name))) }
        if let format = names.backingFormat { list.append(FormatDetail("backing-filename-format", .text(format))) }
        // QEMU writes the refcounts only when such an image is closed; nothing that is read depends on them.
        if header.incompatibleFeatures.contains(.dirty) { list.append(FormatDetail("dirty-flag", .flag(true))) }
        return list
    }

    public func extents(in range: GuestRange, atMost count: Int, from source: any ImageSource) throws(ImageError)
        -> [MappedExtent]
    {
        // A table's offset never leads into the data file, whose bytes the guest chooses.
        let tableSource: any ImageSource = header.hasDataFile ? SourceWindow(source, tables) : source
        let coverage = header.l2Coverage
        let touched = range.start.bytes / coverage..<range.end.bytes.dividedRoundingUp(by: coverage)
        var list = ExtentList()
        try QCOW2Tables.forEachEntry(of: touched, tableAt: header.l1Offset, in: tableSource) {
            (index, entry) throws(ImageError) in
            let start = max(index * coverage, range.start.bytes)
            let part = GuestRange(start, length: min((index + 1) * coverage, range.end.bytes) - start)
            switch QCOW2L1Entry(entry, header) {
            case .unallocated:
                list.append(MappedExtent(range: part, mapping: .hole))
            case .table(let offset):
                try append(part, l2At: offset, atMost: count, from: tableSource, to: &list)
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
        // Asked once: the loop below takes a few dozen instructions an entry.
        let fileEnd = header.hasDataFile ? UInt64.max : source.length
        // The usual image takes the short way: each entry is a cluster, and costs a few dozen instructions.
        guard header.hasExtendedL2 else {
            return try QCOW2Tables.forEachEntry(of: entries, tableAt: l2Offset, in: source) {
                (index, entry) throws(ImageError) in
                let cluster = GuestRange((first + index) * clusterSize, length: clusterSize)
                let start = max(cluster.start, range.start)
                let part = GuestRange(start: start, length: min(cluster.end, range.end) - start)
                let meaning = QCOW2L2Entry(entry, header)
                if case .invalid(let reason) = meaning { throw damaged(index, l2Offset, reason, source) }
                if case .data(let offset) = meaning, offset + (part.end - cluster.start) > fileEnd, offset < fileEnd {
                    try appendCut(part, of: cluster, at: offset, fileEnd: fileEnd, source, to: &list)
                } else {
                    list.append(MappedExtent(range: part, mapping: try mapping(of: part, in: cluster, meaning, source)))
                }
                return list.count <= count
            }
        }
        try QCOW2Tables.forEachL2Entry(of: entries, tableAt: l2Offset, header, in: source) {
            (index, entry, bitmap) throws(ImageError) in
            let cluster = GuestRange((first + index) * clusterSize, length: clusterSize)
            let start = max(cluster.start, range.start)
            let end = min(cluster.end, range.end)
            let subclusters = QCOW2Subclusters(entry, bitmap: bitmap, header)
            try subclusters.forEachRun(of: start - cluster.start..<end - cluster.start) {
                (run, meaning) throws(ImageError) in
                let part = GuestRange(start: cluster.start + run.lowerBound, length: UInt64(run.count))
                if case .invalid(let reason) = meaning { throw damaged(index, l2Offset, reason, source) }
                if case .data(let offset) = meaning, offset + (part.end - cluster.start) > fileEnd, offset < fileEnd {
                    try appendCut(part, of: cluster, at: offset, fileEnd: fileEnd, source, to: &list)
                } else {
                    list.append(MappedExtent(range: part, mapping: try mapping(of: part, in: cluster, meaning, source)))
                }
            }
            return list.count <= count
        }
    }

    private func damaged(_ index: UInt64, _ l2Offset: UInt64, _ reason: String, _ source: any ImageSource)
        -> ImageError
    {
        corruption(
            "qcow2 L2 entry \(index) of the table at \(l2Offset) \(reason)",
            l2Offset + index * (header.clusterSize / header.l2EntryCount), source)
    }

    /// Appends a part of the cluster in which the file ends: the bytes that the file lacks read as zeros.
    ///
    /// - Parameters:
    ///   - offset: where the cluster begins in the file, before its end.
    ///   - fileEnd: the file's length, in bytes.
    private func appendCut(
        _ part: GuestRange, of cluster: GuestRange, at offset: UInt64, fileEnd: UInt64, _ source: any ImageSource,
        to list: inout ExtentList
    ) throws(ImageError) {
        let held = fileEnd - offset - min(part.start - cluster.start, fileEnd - offset)
        let stored = GuestRange(start: part.start, length: held)
        if held > 0 {
            let mapping = try mapping(of: stored, in: cluster, .data(offset), source)
            list.append(MappedExtent(range: stored, mapping: mapping))
        }
        list.append(
            MappedExtent(range: GuestRange(start: stored.end, length: part.length - held), mapping: .zero))
    }

    /// Where a part of a cluster is, by what its entry says.
    ///
    /// - Parameter source: the image's own file.
    private func mapping(
        of part: GuestRange, in cluster: GuestRange, _ meaning: QCOW2L2Entry, _ source: any ImageSource
    ) throws(ImageError) -> Mapping {
        switch meaning {
        case .unallocated, .invalid: return .hole
        case .zero: return .zero
        case .compressed(let stored):
            let held = try clamped(stored, to: source)
            return .compressed(CompressedUnit(stored: held, content: cluster, method: header.compressionMethod))
        case .data(let offset):
            guard let clusters else {
                throw ImageError(
                    .externalReference, "the content of this qcow2 image is in a data file, which was not opened",
                    path: source.name)
            }
            let place = FileRange(offset + (part.start - cluster.start), length: part.length)
            guard header.hasDataFile else {
                try source.requireHeld(place)
                return .raw(place.start)
            }
            guard place.end.bytes <= clusters.length else {
                throw ImageError(
                    .truncated,
                    "the data file of this qcow2 image ends at byte \(clusters.length), but by the tables it has the guest's "
                        + "\(part.length) bytes at \(part.start.bytes) at byte \(place.start.bytes); it was cut short or is "
                        + "another one", path: source.name)
            }
            return .raw(clusters.start + place.start.bytes)
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
