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
        try self.init(bytes: bytes.prefix { $0 != 0 }, path: source.name, at: offset)
    }

    init(bytes: ArraySlice<UInt8>, path: String, at offset: FileOffset) throws(ImageError) {
        func damage(_ message: String) -> ImageError { ImageError(.corrupt, message, path: path, offset: offset) }
        let lines = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: Self.maximumLines)
        guard lines.count <= Self.maximumLines else {
            throw ImageError(
                .limitExceeded, "the VMDK descriptor has more than \(Self.maximumLines) lines", path: path,
                offset: offset)
        }
        extents = []
        dataBase = [:]
        var fields: [String: String] = [:]
        for line in lines.map(trimmed) {
            guard let first = line.first, first != UInt8(ascii: "#") else { continue }
            if let extent = Extent(line: line) {
                extents.append(extent)
            } else if let equals = line.firstIndex(of: UInt8(ascii: "=")) {
                let key = text(trimmed(line[..<equals])).lowercased()
                let value = text(unquoted(trimmed(line[(equals + 1)...])))
                if key.hasPrefix("ddb.") {
                    dataBase[String(key.dropFirst(4))] = value
                } else if fields.updateValue(value, forKey: key) != nil {
                    throw damage("the VMDK descriptor says '\(key)' twice; which one holds can't be told")
                }
            } else if strayLine == nil {
                strayLine = text(line.prefix(80))
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
    /// `RW 1234 SPARSE "name"`; nil where the line does not start with an access word, a size and a type.
    fileprivate init?(line: ArraySlice<UInt8>) {
        guard let first = line.first, "RrNn".utf8.contains(first) else { return nil }
        let words = line.split(maxSplits: 3, whereSeparator: isBlank)
        guard words.count >= 3, let size = UInt64(text(words[1])) else { return nil }
        access = text(words[0]).uppercased()
        guard ["RW", "RDONLY", "NOACCESS"].contains(access) else { return nil }
        self.size = size
        type = text(words[2]).uppercased()
        fileName = words.count > 3 ? text(unquoted(trimmed(words[3]))) : ""
    }
}

private func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }

private func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var bytes = bytes.drop(while: isBlank)
    while let last = bytes.last, isBlank(last) { bytes.removeLast() }
    return bytes
}

private func unquoted(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    let quote = UInt8(ascii: "\"")
    return bytes.count >= 2 && bytes.first == quote && bytes.last == quote ? bytes.dropFirst().dropLast() : bytes
}

/// Names may be in any encoding; what is not UTF-8 is shown as far as it goes.
private func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }

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
