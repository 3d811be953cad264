import ImageModel

/// The text that says what a VMDK is: key=value lines, the extents, and the disk data base (`ddb.` lines).
///
/// Source: VMware Virtual Disk Format 5.0, "The Text Descriptor".
struct VMDKDescriptor: Hashable, Sendable {
    /// As much text as QEMU reads.
    static let maximumLength: UInt64 = 1 << 20
    /// Lines that are read; what programs write has some 20.
    static let maximumLines = 4096
    /// `CID_NOPARENT`.
    static let noParent: UInt32 = 0xFFFF_FFFF

    /// One line of the extent description.
    struct Extent: Hashable, Sendable {
        /// `RW`, `RDONLY` or `NOACCESS`.
        var access: String
        /// In sectors.
        var size: UInt64
        /// `SPARSE` or `FLAT`, for example.
        var type: String
        /// The file that holds it; never opened.
        var fileName: String
    }

    /// `version`; nil where the line is missing.
    var version: String?
    /// `CID`: changes with the content.
    var contentID: UInt32
    /// `parentCID`.
    var parentContentID: UInt32
    var createType: String
    /// Whether `parentFileNameHint` is there.
    var namesParent: Bool
    var extents: [Extent]
    /// The `ddb.` lines: name without the prefix, and value.
    var dataBase: [String: String]
    /// The first line that is none of these.
    var strayLine: String?
}

// MARK: - From text

extension VMDKDescriptor {
    /// Reads the descriptor that a header has in front.
    ///
    /// - Throws: `truncated`, `corrupt` or `limit-exceeded`; see `validate` for what the text must say.
    init(header: VMDKHeader, source: any ImageSource) throws(ImageError) {
        try header.validateDescriptorPlace(path: source.name)
        let offset = FileOffset(header.descriptorOffset * sectorSize)
        let bytes = try source.read(FileRange(start: offset, length: header.descriptorSize * sectorSize))
        // QEMU keeps room for a descriptor in the extents of a twoGbMaxExtentSparse disk, and leaves it empty.
        if bytes.first == 0 { throw VMDKHeader.withoutDescriptor(path: source.name, at: offset) }
        try self.init(text: bytes.prefix { $0 != 0 }, path: source.name, at: offset)
    }

    init(text: ArraySlice<UInt8>, path: String, at offset: FileOffset) throws(ImageError) {
        func damage(_ message: String) -> ImageError { ImageError(.corrupt, message, path: path, offset: offset) }
        let lines = text.split(separator: 0x0A, maxSplits: Self.maximumLines)
        guard lines.count <= Self.maximumLines else {
            throw ImageError(
                .limitExceeded, "the VMDK descriptor has more than \(Self.maximumLines) lines", path: path,
                offset: offset)
        }
        extents = []
        dataBase = [:]
        var fields: [String: String] = [:]
        for bytes in lines {
            let line = trimmed(String(decoding: bytes, as: UTF8.self)[...])
            if line.isEmpty || line.hasPrefix("#") { continue }
            if let extent = Extent(line: line) {
                extents.append(extent)
            } else if let equals = line.firstIndex(of: "=") {
                let key = trimmed(line[..<equals]).lowercased()
                let value = unquoted(trimmed(line[line.index(after: equals)...]))
                if key.hasPrefix("ddb.") {
                    dataBase[String(key.dropFirst(4))] = value
                } else if fields.updateValue(value, forKey: key) != nil {
                    throw damage("the VMDK descriptor says '\(key)' twice; which one holds can't be told")
                }
            } else if strayLine == nil {
                strayLine = String(line.prefix(80))
            }
        }
        guard let createType = fields["createtype"] else {
            throw damage("the VMDK descriptor has no line 'createType='")
        }
        guard let contentID = fields["cid"].flatMap({ UInt32($0, radix: 16) }) else {
            throw damage("the VMDK descriptor has no line 'CID=' with a hexadecimal number")
        }
        guard let parent = fields["parentcid"].flatMap({ UInt32($0, radix: 16) }) else {
            throw damage("the VMDK descriptor has no line 'parentCID=' with a hexadecimal number")
        }
        self.version = fields["version"]
        self.createType = createType
        self.contentID = contentID
        parentContentID = parent
        namesParent = fields["parentfilenamehint"] != nil
    }

    /// Refuses every disk that is not whole in the one file.
    ///
    /// - Throws: `external-reference` where other files would have to be opened; `unsupported`; `corrupt`.
    func validate(path: String, at offset: FileOffset) throws(ImageError) {
        func refusal(_ code: ImageError.Code, _ message: String) -> ImageError {
            ImageError(code, message, path: path, offset: offset)
        }
        guard parentContentID == Self.noParent, !namesParent else {
            throw refusal(
                .externalReference,
                "this VMDK is a link of a chain whose content is partly in a parent file (parentCID is "
                    + "\(hex(parentContentID).dropFirst(2)), expected ffffffff); Lathe opens no file that an image names: "
                    + "merge it with its parent first")
        }
        let known = VMDKSubformat.allCases.contains { $0.rawValue.lowercased() == createType.lowercased() }
        guard known, extents.count <= 1 else {
            throw refusal(
                .externalReference,
                "this VMDK has createType '\(createType)' and \(extents.count) extents; Lathe opens no file that an image "
                    + "names: convert the disk to monolithicSparse or streamOptimized first")
        }
        guard let extent = extents.first else {
            throw refusal(.corrupt, "the VMDK descriptor names no extent, expected one")
        }
        guard extent.type == "SPARSE" else {
            throw refusal(
                .externalReference,
                "the VMDK descriptor has an extent of type \(extent.type), expected SPARSE; Lathe opens "
                    + "no file that an image names")
        }
        guard extent.access != "NOACCESS" else {
            throw refusal(.unsupported, "the VMDK descriptor has an extent that may not be read (NOACCESS)")
        }
    }
}

extension VMDKDescriptor.Extent {
    /// `RW 1234 SPARSE "name"`; nil where the line starts with no access word.
    fileprivate init?(line: Substring) {
        let words = line.split(maxSplits: 3, whereSeparator: { $0 == " " || $0 == "\t" })
        guard words.count >= 3, let first = words.first?.uppercased(), ["RW", "RDONLY", "NOACCESS"].contains(first),
            let size = UInt64(words[1])
        else { return nil }
        access = first
        self.size = size
        type = words[2].uppercased()
        fileName = words.count > 3 ? unquoted(trimmed(words[3])) : ""
    }
}

private func isBlank(_ character: Character) -> Bool { character == " " || character == "\t" || character == "\r" }

private func trimmed(_ text: Substring) -> Substring {
    var text = text.drop(while: isBlank)
    while let last = text.last, isBlank(last) { text.removeLast() }
    return text
}

private func unquoted(_ text: Substring) -> String {
    guard text.count >= 2, text.first == "\"", text.last == "\"" else { return String(text) }
    return String(text.dropFirst().dropLast())
}

// MARK: - To text

/// What of a descriptor is settled before the content is known.
struct VMDKDescriptorPlan: Hashable, Sendable {
    /// The extent's name.
    ///
    /// It follows no path, so that the same disk is the same bytes wherever it is written; in a disk of one file, no
    /// program needs it to find that file.
    static let extentName = "disk.vmdk"

    var subformat: VMDKSubformat
    var adapter: VMDKAdapter
    var hardwareVersion: Int
    /// In sectors.
    var capacity: UInt64

    /// The text, whose length does not depend on the content.
    ///
    /// There is no `ddb.uuid.image`: VirtualBox makes one of its own for an image without, and so takes a second copy of
    /// the same image, which it refuses where both bring the same.
    func text(for content: ContentIdentity) -> [UInt8] {
        let contentID = Self.contentID(content)
        let geometry = adapter.geometry(sectors: capacity)
        let longID = (0..<3).map { word32(content.word($0, for: "vmdk.longContentID")) }.joined() + word32(contentID)
        // RDONLY is what VMware and VirtualBox write for a stream. QEMU takes only RW, but reads no extent line of a disk
        // in one file; Glance takes both.
        let access = subformat == .streamOptimized ? "RDONLY" : "RW"
        let text = """
            # Disk DescriptorFile
            version=1
            CID=\(word32(contentID))
            parentCID=ffffffff
            createType="\(subformat.rawValue)"

            # Extent description
            \(access) \(capacity) SPARSE "\(Self.extentName)"

            # The Disk Data Base
            #DDB

            ddb.adapterType = "\(adapter.rawValue)"
            ddb.geometry.cylinders = "\(geometry.cylinders)"
            ddb.geometry.heads = "\(geometry.heads)"
            ddb.geometry.sectors = "\(geometry.sectors)"
            ddb.longContentID = "\(longID)"
            ddb.virtualHWVersion = "\(hardwareVersion)"

            """
        return Array(text.utf8)
    }

    /// A content ID that means nothing else: 0 is none, ffffffff is "no parent", fffffffe is "see the long ID".
    static func contentID(_ content: ContentIdentity) -> UInt64 {
        var index: UInt64 = 0
        while true {
            let candidate = content.word(index, for: "vmdk.CID") & 0xFFFF_FFFF
            if isUsable(contentID: candidate) { return candidate }
            index += 1
        }
    }

    static func isUsable(contentID: UInt64) -> Bool { (1...0xFFFF_FFFD).contains(contentID) }

    /// The low 32 bits, as 8 digits.
    private func word32(_ value: UInt64) -> String { String(hex(UInt32(truncatingIfNeeded: value)).dropFirst(2)) }
}

/// `createType` of the disks that are one file.
enum VMDKSubformat: String, CaseIterable, Hashable, Sendable {
    case monolithicSparse, streamOptimized
}

/// `ddb.adapterType`: the controller that the guest sees, and with it the geometry.
enum VMDKAdapter: String, CaseIterable, Hashable, Sendable {
    case ide, lsilogic, buslogic, legacyESX

    /// Cylinders, heads and sectors a track for a disk of some sectors: whole cylinders, at least one.
    func geometry(sectors: UInt64) -> (cylinders: UInt64, heads: UInt64, sectors: UInt64) {
        let heads: UInt64 = self == .ide ? 16 : 255
        // ATA counts no more than 16383 cylinders, a BIOS's or VMware's 16 bits no more than 65535.
        let most: UInt64 = self == .ide ? 16383 : 65535
        return (min(most, max(1, sectors / (heads * 63))), heads, 63)
    }
}
