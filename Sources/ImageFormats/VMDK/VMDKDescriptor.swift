import ImageModel

/// The text that says what a VMDK is: key=value lines, the extents, and the disk data base (`ddb.` lines).
///
/// It stands in a sparse extent, or in a file of its own beside the extents.
///
/// Source: VMware Virtual Disk Format 5.0, "The Text Descriptor".
struct VMDKDescriptor: Hashable, Sendable {
    /// `CID_NOPARENT`.
    static let noParent: UInt32 = 0xFFFF_FFFF
    /// What a file that is a descriptor begins with, as programs write it.
    static let firstLine = "# Disk DescriptorFile"
    /// U+FEFF in UTF-8, which editors of Windows put in front of a text.
    private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

    /// `version`; nil where the line is missing.
    var version: String?
    /// `CID`: changes with the content.
    var contentID: UInt32
    /// `parentCID`.
    var parentContentID: UInt32
    var createType: String
    /// `encoding`: that of the names on the machine that wrote it, as in `windows-1252`; nil where the line is missing.
    var encoding: String?
    /// `parentFileNameHint`; nil where it is missing or empty.
    var parentName: String?
    var extents: [VMDKExtentLine]
    /// The `ddb.` lines: name without the prefix, and value.
    var dataBase: [String: String]
    /// The first line that is none of these.
    var strayLine: String?

    /// Sectors of all extents; nil where they are more than a disk can have.
    var capacity: UInt64? {
        var sum: UInt64 = 0
        for extent in extents {
            let (next, overflow) = sum.addingReportingOverflow(extent.size)
            guard !overflow, next <= UInt64(Int64.max) / sectorSize else { return nil }
            sum = next
        }
        return sum
    }
}

// MARK: - From text

extension VMDKDescriptor {
    /// Whether the first bytes of a file are those of a descriptor: its first line, or `version=` as the first that is neither
    /// empty nor a comment.
    static func begins(_ head: [UInt8]) -> Bool {
        let head = withoutMark(head[...])
        if head.starts(with: firstLine.utf8) { return true }
        for line in head.split(separator: UInt8(ascii: "\n")).map(trimmed) {
            guard let first = line.first, first != UInt8(ascii: "#") else { continue }
            guard let equals = line.firstIndex(of: UInt8(ascii: "=")) else { return false }
            return text(trimmed(line[..<equals])).lowercased() == "version"
        }
        return false
    }

    private static func withoutMark(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        bytes.starts(with: byteOrderMark) ? bytes.dropFirst(byteOrderMark.count) : bytes
    }

    /// Reads the descriptor that a header has in front.
    ///
    /// - Returns: nil where there is none: QEMU keeps room for one in the extents of a twoGbMaxExtentSparse disk, and leaves it
    ///   empty.
    /// - Throws: `truncated`, `corrupt` or `limit-exceeded`.
    static func embedded(in source: any ImageSource, _ header: VMDKHeader) throws(ImageError) -> VMDKDescriptor? {
        guard header.hasDescriptorPlace else { return nil }
        let offset = FileOffset(header.descriptorOffset * sectorSize)
        let bytes = try source.read(FileRange(start: offset, length: header.descriptorSize * sectorSize))
        if bytes.first == 0 { return nil }
        return try VMDKDescriptor(bytes: bytes.prefix { $0 != 0 }, path: source.name, at: offset)
    }

    /// Reads a file that is a descriptor.
    ///
    /// - Throws: `corrupt` or `limit-exceeded`.
    init(file source: any ImageSource) throws(ImageError) {
        guard source.length <= ImageLimits.VMDK.descriptorLength else {
            throw ImageError(
                .limitExceeded,
                "the file begins as a VMDK descriptor does, but has \(source.length) bytes, expected a text of at most "
                    + "\(ImageLimits.VMDK.descriptorLength)", path: source.name)
        }
        let bytes = try source.read(FileRange(0, length: source.length))
        try self.init(bytes: bytes.prefix { $0 != 0 }, path: source.name, at: FileOffset(0))
    }

    init(bytes: ArraySlice<UInt8>, path: String, at offset: FileOffset) throws(ImageError) {
        func damage(_ message: String) -> ImageError { ImageError(.corrupt, message, path: path, offset: offset) }
        func limit(_ what: String) -> ImageError {
            ImageError(.limitExceeded, "the VMDK descriptor has more than \(what)", path: path, offset: offset)
        }
        let lines = Self.withoutMark(bytes).split(
            separator: UInt8(ascii: "\n"), maxSplits: ImageLimits.VMDK.descriptorLines)
        guard lines.count <= ImageLimits.VMDK.descriptorLines else {
            throw limit("\(ImageLimits.VMDK.descriptorLines) lines")
        }
        extents = []
        dataBase = [:]
        var fields: [String: String] = [:]
        for line in lines.map(trimmed) {
            guard let first = line.first, first != UInt8(ascii: "#") else { continue }
            if let access = VMDKExtentLine.access(of: line) {
                guard let extent = VMDKExtentLine(line, access) else {
                    throw damage(
                        "the line '\(shown(line))' of the VMDK descriptor begins as an extent's, but is not "
                            + "'ACCESS SECTORS TYPE \"NAME\" OFFSET'; without it, all that follows would be misplaced")
                }
                guard extents.count < ImageLimits.VMDK.extents else {
                    throw limit("\(ImageLimits.VMDK.extents) extents")
                }
                extents.append(extent)
            } else if let equals = line.firstIndex(of: UInt8(ascii: "=")) {
                let key = text(trimmed(line[..<equals])).lowercased()
                let value = text(unquoted(trimmed(line[(equals + 1)...])))
                if key.hasPrefix("ddb.") {
                    dataBase[String(key.dropFirst(4))] = value
                } else if fields.updateValue(value, forKey: key) != nil {
                    throw damage(
                        "the VMDK descriptor says '\(ReferencedName.shown(key))' twice; which one holds can't be told")
                }
            } else if strayLine == nil {
                strayLine = shown(line)
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
        encoding = fields["encoding"].flatMap { $0.isEmpty ? nil : $0 }
        self.createType = createType
        self.contentID = contentID
        parentContentID = parent
        parentName = fields["parentfilenamehint"].flatMap { $0.isEmpty ? nil : $0 }
    }
}

// MARK: - What can be read

extension VMDKDescriptor {
    /// Disks that are devices of the machine that they were made on, or parts of one.
    private static let deviceTypes = [
        "fulldevice", "partitioneddevice", "vmfsrawdevicemap", "vmfspassthroughrawdevicemap", "vmfsrdm", "vmfsrdmp",
        "vmfsraw",
    ]

    /// Refuses what Lathe does not read, whatever its extents are.
    ///
    /// - Throws: `unsupported`, `corrupt` or `limit-exceeded`.
    func validate(path: String, at offset: FileOffset) throws(ImageError) {
        func refusal(_ code: ImageError.Code, _ message: String) -> ImageError {
            ImageError(code, message, path: path, offset: offset)
        }
        guard !Self.deviceTypes.contains(createType.lowercased()) else {
            throw refusal(
                .unsupported,
                "this VMDK (createType '\(ReferencedName.shown(createType))') stands for a device of the machine that it was "
                    + "made on; copy the device itself")
        }
        guard !extents.isEmpty else { throw refusal(.corrupt, "the VMDK descriptor names no extent, expected one") }
        guard capacity != nil else {
            throw refusal(.limitExceeded, "the extents of the VMDK descriptor have more sectors than a disk can have")
        }
        if parentContentID == Self.noParent, let parentName {
            throw refusal(
                .corrupt,
                "the VMDK descriptor names a parent, '\(ReferencedName.shown(parentName))', and says that it has none "
                    + "(parentCID=ffffffff): whether content shows through from there can't be told")
        }
        for extent in extents { try extent.validate(path: path, at: offset) }
    }

    /// Refuses a descriptor that stands in a sparse extent and speaks of more than that one.
    ///
    /// - Throws: `external-reference`.
    func requireOneExtent(path: String, at offset: FileOffset) throws(ImageError) {
        guard extents.count == 1, extents.first?.kind == .sparse else {
            throw ImageError(
                .externalReference,
                "this sparse VMDK has a descriptor inside that speaks of \(extents.count) extents "
                    + "(\(extents.prefix(3).map(\.type).joined(separator: ", "))), expected only SPARSE, the file itself; Lathe "
                    + "reads disks of several files by a descriptor that is a file of its own", path: path,
                offset: offset)
        }
    }
}

// MARK: - Bytes of a line

func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }

func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var bytes = bytes.drop(while: isBlank)
    while let last = bytes.last, isBlank(last) { bytes.removeLast() }
    return bytes
}

func unquoted(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    let quote = UInt8(ascii: "\"")
    return bytes.count >= 2 && bytes.first == quote && bytes.last == quote ? bytes.dropFirst().dropLast() : bytes
}

/// Names may be in any encoding: they are bytes (`PathText`).
func text(_ bytes: ArraySlice<UInt8>) -> String { PathText.text(of: bytes) }

private func shown(_ line: ArraySlice<UInt8>) -> String { ReferencedName.shown(text(line.prefix(80))) }
