public import ImageModel

/// Tells the format of an image that is to be read, from its bytes and its name together.
///
/// Neither is trusted alone. Whoever runs in a guest can write any header into the first sectors of its disk; where
/// that disk is a raw file, a program that goes by the bytes then reads what the guest made up, and opens a qcow2 or
/// vmdk of the guest's choice (CVE-2026-24708 is such a case). So bytes that say something else than the name are an
/// error that asks for `-f FORMAT`, and only a name that says nothing leaves it to the bytes. Whoever takes images from
/// strangers should always name the format and never ask here.
public enum FormatDetection {
    /// Tells the format.
    ///
    /// - Parameters:
    ///   - source: the image's bytes.
    ///   - name: its file name or path; what stands behind the last dot may say a format.
    /// - Returns: the format that the name says where the bytes agree; the one of the bytes where the name says none,
    /// and
    ///   raw where neither says any.
    /// - Throws: `ambiguous-format` where name and bytes disagree, or the bytes say two formats, or only a footer says
    /// vhd;
    ///   `unsupported` where the bytes are of a format that Lathe does not read; what the source throws.
    public static func detect(_ source: any ImageSource, name: String) throws(ImageError) -> ImageFormat {
        let found = try signatures(in: source)
        let named = format(ofName: name)
        func ambiguity(_ message: String) -> ImageError { ImageError(.ambiguousFormat, message, path: source.name) }
        if found.count > 1 {
            let list = found.map { "\($0.what) at byte \($0.offset.bytes)" }.joined(separator: " and ")
            throw ambiguity(
                "the file looks like more than one format at once: it has \(list); say which one it is with -f FORMAT")
        }
        guard let only = found.first else {
            guard let named, named != .raw else { return .raw }
            throw ambiguity(
                "the name says \(named.rawValue), but nothing in the file looks like it; say which format it is with "
                    + "-f FORMAT (-f raw if it is a raw disk)")
        }
        let has = "the file has \(only.what) at byte \(only.offset.bytes)"
        guard let format = only.format else {
            if named == .raw {
                throw ambiguity(
                    "the name says raw, but \(has), \(only.advice); a guest can write such bytes into a raw disk too: say -f "
                        + "raw to take every byte as it is")
            }
            throw ImageError(
                .unsupported, "\(has), \(only.advice), or say -f raw if it is a raw disk", path: source.name,
                offset: only.offset)
        }
        if named == .raw {
            throw ambiguity(
                "the name says raw, but \(has), which a guest can write into a raw disk too; say which format it is "
                    + "with -f FORMAT (-f raw to take every byte as it is)")
        }
        if let named, named != format {
            throw ambiguity("the name says \(named.rawValue), but \(has); say which format it is with -f FORMAT")
        }
        if only.isAtEnd, named == nil {
            throw ambiguity(
                "\(has), which is that of a fixed vhd, but a guest can write it into a raw disk too; say which format "
                    + "it is with -f FORMAT (-f vhd or -f raw)")
        }
        return format
    }

    /// The format that a file name's extension says; nil where it has none or another.
    static func format(ofName name: String) -> ImageFormat? {
        let file = name.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        guard let dot = file.lastIndex(of: "."), dot > file.startIndex else { return nil }
        if file.lowercased().hasSuffix(".tar.gz") { return .rawPackage }
        // Of what is in a file that is packed, the name may say something, or nothing.
        return switch file[file.index(after: dot)...].lowercased() {
        case "raw", "dd", "bin": .raw
        case "qcow2", "qcow": .qcow2
        case "vmdk": .vmdk
        case "vdi": .vdi
        case "vhd", "vpc": .vhd
        case "tgz": .rawPackage
        case "gz": .rawGzip
        case "zst": .rawZstandard
        default: nil
        }
    }
}

// MARK: - Signatures

extension FormatDetection {
    /// A format's mark in a file.
    private struct Signature {
        /// nil for a format that Lathe does not read.
        var format: ImageFormat?
        /// With its article, for messages.
        var what: String
        var offset = FileOffset(0)
        /// Only the end of the file says so.
        var isAtEnd = false
        /// What to do with a format that Lathe does not read.
        var advice = ""
    }

    /// What is looked for at the start of a file, and where.
    ///
    /// LUKS is not among them, nor what else is a raw disk: an encrypted guest disk begins with it.
    private static let heads: [(ImageFormat, String, Int, [UInt8])] = [
        (.qcow2, "a qcow2 header", 0, [0x51, 0x46, 0x49, 0xFB]),
        (.vmdk, "a vmdk header", 0, Array("KDMV".utf8)),
        (.vmdk, "a vmdk header (COWD)", 0, Array("COWD".utf8)),
        // 0xCAFEBABE in 64 bits, little-endian.
        (.vmdk, "a vmdk header (seSparse)", 0, [0xBE, 0xBA, 0xFE, 0xCA, 0, 0, 0, 0]),
        // VDI_IMAGE_SIGNATURE, little-endian.
        (.vdi, "a vdi header", VDIHeader.signatureOffset, [0x7F, 0x10, 0xDA, 0xBE]),
        (.vhd, "a vhd footer", 0, VHDFooter.cookie),
    ]

    /// The marks in a file, at most one for each format.
    private static func signatures(in source: any ImageSource) throws(ImageError) -> [Signature] {
        let head = try source.read(FileRange(0, length: min(source.length, sectorSize)))
        var found: [Signature] = []
        for (format, what, offset, magic) in heads where head.dropFirst(offset).starts(with: magic) {
            found.append(Signature(format: format, what: what, offset: FileOffset(UInt64(offset))))
        }
        if VMDKDescriptor.begins(head) { found.append(Signature(format: .vmdk, what: "a vmdk descriptor")) }
        if let package = package(head) { found.append(package) }
        if let image = try appleImage(in: source) { found.append(image) }
        // A dynamic vhd has the same footer at both ends, and is one format.
        if !found.contains(where: { $0.format == .vhd }), let offset = try footerOffset(in: source) {
            found.append(Signature(format: .vhd, what: "a vhd footer", offset: offset, isAtEnd: true))
        }
        return found
    }

    /// What the start of a file says: of a package that Lathe wrote, or of something that it does not read.
    private static func package(_ head: [UInt8]) -> Signature? {
        let start = Array(head.prefix(64))
        if let ours = RawPackaging.allCases.first(where: { $0.begins(start) }) {
            return Signature(
                format: ours.format, what: "a header as Lathe writes it in front of a \(ours.format.rawValue)")
        }
        guard let foreign = ForeignFormat.found(in: head) else { return nil }
        return Signature(format: nil, what: foreign.what, offset: foreign.offset, advice: foreign.advice)
    }

    /// What unpacks a compressed file of another program.
    static func unpacking(_ name: String) -> String {
        name == "zstd"
            ? "'zstd -d', or 'tar -xf' where it holds an archive"
            : "'tar -xzf', or 'gzip -d' where it holds no archive"
    }

    /// The trailer of a disk image of macOS (UDIF), the last 512 bytes of the file.
    private static func appleImage(in source: any ImageSource) throws(ImageError) -> Signature? {
        guard source.length >= sectorSize else { return nil }
        let offset = FileOffset(source.length - sectorSize)
        // The magic, the version 4, and the trailer's own length, big-endian.
        let trailer = Array("koly".utf8) + [0, 0, 0, 4, 0, 0, 2, 0]
        guard try source.read(FileRange(start: offset, length: UInt64(trailer.count))) == trailer else { return nil }
        return Signature(format: nil, what: "a dmg trailer", offset: offset, advice: ForeignFormat.conversion)
    }

    /// Where a vhd's footer begins at the end of a file: 512 or, by old writers, 511 bytes before it.
    private static func footerOffset(in source: any ImageSource) throws(ImageError) -> FileOffset? {
        for length in [VHDFooter.encodedLength, VHDFooter.shortLength] where source.length >= length {
            let offset = FileOffset(source.length - length)
            let cookie = try source.read(FileRange(start: offset, length: UInt64(VHDFooter.cookie.count)))
            if cookie == VHDFooter.cookie { return offset }
        }
        return nil
    }
}
