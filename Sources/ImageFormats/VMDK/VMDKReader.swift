public import ImageModel

/// Maps the guest's bytes in a VMDK: in one file (monolithicSparse, streamOptimized) or in extents of any kind that a descriptor
/// names, as VMware, VirtualBox, QEMU and others lay them out.
public struct VMDKReader: ImageReader {
    private enum Content: Sendable {
        /// The tables of the image's own file.
        case own(VMDKSparseExtent)
        case several([VMDKExtent])
        /// In files that were not opened, or not said anywhere.
        case elsewhere
    }

    private let file: VMDKFile
    private let content: Content
    public let virtualSize: UInt64
    public let unitSize: UInt64?

    public init(source: any ImageSource) throws(ImageError) { try self.init(VMDKFile(source: source), nil) }

    /// - Parameter extents: of a descriptor, opened.
    private init(_ file: VMDKFile, _ extents: [VMDKExtent]?) throws(ImageError) {
        self.file = file
        virtualSize = file.capacity * sectorSize
        if case .hosted(let extent, .some) = file {
            content = .own(extent.grains)
        } else {
            content = extents.map { .several($0) } ?? .elsewhere
        }
        let grainLengths = extents?.compactMap { extent -> UInt64? in
            if case .sparse(let grains, _) = extent.content { grains.grainLength } else { nil }
        }
        unitSize = file.grainLength ?? grainLengths?.max()
    }

    public static func open(
        _ source: any ImageSource, _ references: any ReferencedFiles, snapshot: SnapshotSelection?
    ) throws(ImageError) -> OpenedImage {
        try requireNone(snapshot, in: source)
        let file = try VMDKFile(source: source)
        switch file {
        case .hosted(_, .some): return OpenedImage(reader: try Self(file, nil), source: source)
        case .hosted, .cowd, .seSparse:
            throw ImageError(
                .unsupported,
                "this is \(file.what) without a descriptor: it may be one of several extents of a disk, or hold only what "
                    + "differs from a disk under it; name the descriptor, a small text file that ends with .vmdk too",
                path: source.name)
        case .descriptor(let descriptor):
            let extents = try VMDKExtents(descriptor, in: source, references)
            return OpenedImage(reader: try Self(file, extents.list), source: extents.source)
        }
    }

    public func openParent(_ references: any ReferencedFiles, of source: any ImageSource) throws(ImageError)
        -> ParentImage?
    {
        guard let descriptor = file.descriptor, let parent = try VMDKParent(descriptor, path: source.name) else {
            return nil
        }
        return ParentImage(source: try parent.open(references, for: source), format: .vmdk)
    }

    public var details: [FormatDetail] {
        var details: [FormatDetail] = []
        if case .hosted(let extent, _) = file {
            details.append(FormatDetail("version", .number(UInt64(extent.header.version))))
        }
        guard let descriptor = file.descriptor else {
            return details + [FormatDetail("extent", .text(file.what))]
        }
        details += [
            FormatDetail("create-type", .text(descriptor.createType)),
            FormatDetail("cid", .number(UInt64(descriptor.contentID))),
            FormatDetail("parent-cid", .number(UInt64(descriptor.parentContentID))),
        ]
        if case .hosted(let extent, _) = file {
            details.append(FormatDetail("compressed", .flag(extent.grains.isCompressed)))
        }
        if let parent = descriptor.parentName { details.append(FormatDetail("backing-filename", .text(parent))) }
        if let adapter = descriptor.dataBase["adaptertype"] {
            details.append(FormatDetail("adapter-type", .text(adapter)))
        }
        if let version = descriptor.dataBase["virtualhwversion"] {
            details.append(FormatDetail("hwversion", .text(version)))
        }
        return details
    }

    public func details(in source: any ImageSource) throws(ImageError) -> [FormatDetail] {
        guard let descriptor = file.descriptor else { return details }
        let records: [[FormatDetail]]
        if case .hosted(let extent, _) = file {
            let flag = extent.grains.isCompressed ? [FormatDetail("compressed", .flag(true))] : []
            records = [
                [
                    FormatDetail("filename", .text(source.name)), FormatDetail("format", .text("")),
                    FormatDetail("virtual-size", .number(virtualSize)),
                ] + (unitSize.map { [FormatDetail("cluster-size", .number($0))] } ?? []) + flag
            ]
        } else {
            // Grains are said in the extents' own headers, and no other file is opened for this.
            let directory = source.name.lastIndex(of: "/").map { source.name[...$0] } ?? ""
            records = descriptor.extents.map { extent in
                [
                    FormatDetail("filename", .text(extent.fileName.isEmpty ? "" : directory + extent.fileName)),
                    FormatDetail("format", .text(extent.type)),
                    FormatDetail("virtual-size", .number(extent.size * sectorSize)),
                ]
            }
        }
        return details + [FormatDetail("extents", .records(records))]
    }

    public func extents(in range: GuestRange, atMost count: Int, from source: any ImageSource) throws(ImageError)
        -> [MappedExtent]
    {
        switch content {
        case .own(let grains): return try grains.extents(in: range, atMost: count, from: source)
        case .several(let parts):
            var list = ExtentList()
            var index = Self.index(of: range.start, in: parts)
            while index < parts.count, parts[index].range.start < range.end, list.count <= count {
                let start = max(range.start, parts[index].range.start)
                let end = min(range.end, parts[index].range.end)
                let wanted = GuestRange(start: start, length: end - start)
                try parts[index].map(wanted, atMost: count, into: &list, from: source)
                index += 1
            }
            return Array(list.extents.prefix(count))
        case .elsewhere:
            throw ImageError(
                .externalReference, "the content of this VMDK is in other files, which were not opened",
                path: source.name)
        }
    }

    /// The extent that has a guest offset.
    private static func index(of offset: GuestOffset, in parts: [VMDKExtent]) -> Int {
        var (low, high) = (0, parts.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if parts[middle].range.start <= offset { low = middle } else { high = middle }
        }
        return low
    }
}
