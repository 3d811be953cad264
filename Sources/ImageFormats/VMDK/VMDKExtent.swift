import ImageModel

/// A piece of a disk, as its descriptor divides it, with its file opened.
struct VMDKExtent: Sendable {
    enum Content: Sendable {
        case zero
        /// The bytes as they are, from this offset in the address space of all files on.
        case flat(FileOffset)
        /// By tables; with the file's range in the address space of all files.
        case sparse(any VMDKGrainMap, FileRange)
    }

    let range: GuestRange
    let content: Content

    /// Maps a range that lies in the extent, until there are more than `count` extents.
    func map(_ wanted: GuestRange, atMost count: Int, into list: inout ExtentList, from source: any ImageSource)
        throws(ImageError)
    {
        switch content {
        case .zero: list.append(MappedExtent(range: wanted, mapping: .zero))
        case .flat(let offset):
            list.append(MappedExtent(range: wanted, mapping: .raw(offset + (wanted.start - range.start))))
        case .sparse(let grains, let file):
            let own = SourceWindow(source, file)
            var position = wanted.start
            while position < wanted.end, list.count <= count {
                let part = GuestRange(position - range.start, length: wanted.end - position)
                for extent in try grains.extents(in: part, atMost: count, from: own) {
                    list.append(extent.moved(by: file.start).shifted(by: range.start))
                    position = range.start + extent.range.end.bytes
                }
            }
        }
    }
}

extension MappedExtent {
    /// The same extent on a disk on which the one that it is of begins at `start`.
    fileprivate func shifted(by start: GuestOffset) -> MappedExtent {
        var shifted = self
        shifted.range.start = start + range.start.bytes
        if case .compressed(var unit) = mapping {
            unit.content.start = start + unit.content.start.bytes
            shifted.mapping = .compressed(unit)
        }
        return shifted
    }
}

/// The extents of a disk whose descriptor is a file of its own, with their files opened.
struct VMDKExtents: Sendable {
    let list: [VMDKExtent]
    /// The descriptor, then each file of an extent once.
    let source: JoinedSource

    /// - Parameter descriptor: validated.
    /// - Throws: `external-reference` or `input-output` where a file can't be opened; `truncated` where one is too short;
    ///   `corrupt`, `unsupported` or `mismatch` where it is not what the descriptor says.
    init(_ descriptor: VMDKDescriptor, in image: any ImageSource, _ references: any ReferencedFiles) throws(ImageError)
    {
        var members: [any ImageSource] = [image]
        let indices = Self.fileIndices(descriptor)
        for line in descriptor.extents
        where line.kind != .zero && indices[PathText.bytes(of: line.fileName)] == members.count {
            members.append(try Self.file(line, in: descriptor.encoding, of: image, references))
        }
        source = try JoinedSource(members)
        var extents: [VMDKExtent] = []
        var start: UInt64 = 0
        for line in descriptor.extents {
            let range = GuestRange(start, length: line.size * sectorSize)
            start += range.length
            if range.isEmpty { continue }
            let index = indices[PathText.bytes(of: line.fileName)] ?? 0
            let content = try Self.content(line, members[index], source.range(of: index))
            extents.append(VMDKExtent(range: range, content: content))
        }
        list = extents
    }

    /// Which of the files a name stands for: 0 is the descriptor itself, then come the names in their order, each once.
    ///
    /// By their bytes, since texts may be equal that are names of two files.
    static func fileIndices(_ descriptor: VMDKDescriptor) -> [[UInt8]: Int] {
        var indices: [[UInt8]: Int] = [:]
        for line in descriptor.extents where line.kind != .zero && indices[PathText.bytes(of: line.fileName)] == nil {
            indices[PathText.bytes(of: line.fileName)] = indices.count + 1
        }
        return indices
    }

    private static func file(
        _ line: VMDKExtentLine, in encoding: String?, of image: any ImageSource, _ references: any ReferencedFiles
    ) throws(ImageError) -> any ImageSource {
        let file = try references.open(
            line.fileName, in: encoding, because: "this VMDK is a descriptor of a disk that is in other files",
            namedBy: image)
        if let own = image.identity, let identity = file.identity, own.isSameFile(as: identity) {
            throw ImageError(
                .corrupt, "the VMDK descriptor says that it is its own extent '\(line.fileName)'; it is no content",
                path: image.name)
        }
        return file
    }

    /// - Parameters:
    ///   - file: what the line names, open.
    ///   - place: where it is in the address space of all files.
    private static func content(_ line: VMDKExtentLine, _ file: any ImageSource, _ place: FileRange)
        throws(ImageError) -> VMDKExtent.Content
    {
        if line.kind == .zero { return .zero }
        if line.kind == .flat {
            let end = (line.offset + line.size) * sectorSize
            guard end <= file.length else {
                throw ImageError(
                    .truncated,
                    "the extent ends at byte \(file.length), but by the VMDK descriptor it has \(line.size) sectors from sector "
                        + "\(line.offset) on, up to byte \(end); it is cut short or another file", path: file.name)
            }
            return .flat(place.start + line.offset * sectorSize)
        }
        let found = try VMDKFile(source: file)
        let grains: any VMDKGrainMap
        switch (line.kind, found) {
        case (.sparse, .hosted(let extent, _)): grains = extent.grains
        case (.cowd, .cowd(_, let extent)): grains = extent
        case (.seSparse, .seSparse(let extent)): grains = extent
        default:
            throw ImageError(
                .mismatch, "the VMDK descriptor says that this extent is of type \(line.type), but it is \(found.what)",
                path: file.name)
        }
        // The capacity of an extent may be rounded up to whole grains.
        guard found.capacity >= line.size else {
            throw ImageError(
                .mismatch,
                "the extent has \(found.capacity) sectors by its header, but \(line.size) by the VMDK descriptor; it is another "
                    + "disk's", path: file.name)
        }
        return .sparse(grains, place)
    }
}
