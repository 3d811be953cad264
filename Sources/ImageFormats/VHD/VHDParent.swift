import ImageModel

/// What a differencing VHD says of its parent: which disk it is, and the names that it has for it.
///
/// Source: "Virtual Hard Disk Image Format Specification" 1.0, "Dynamic Disk Header Format" and "Parent Locator Entry".
struct VHDParent: Sendable {
    /// Entries of the locator table, and where it stands in the header.
    private static let locatorCount = 8
    private static let locatorsOffset = 576
    /// Bytes of an entry.
    private static let locatorLength = 24
    /// `Platform Code` of a path that is relative to the disk, in UTF-16, little-endian.
    private static let relativePath: UInt32 = 0x5732_7275
    /// `Parent Unicode Name`, in UTF-16, big-endian.
    private static let nameRange = 64..<576

    /// `Parent Unique ID`.
    let uniqueID: [UInt8]
    /// `Parent Time Stamp`: seconds since 2000-01-01 UTC.
    let timestamp: UInt32
    /// What the disk calls its parent, in the order in which it is looked for, with `/` between directories.
    let names: [String]

    /// Reads the parent's fields out of the dynamic header.
    ///
    /// Absolute paths (`W2ku`) are no names here: they say where the parent was on the machine that wrote the disk.
    ///
    /// - Throws: `truncated` or `corrupt` where a locator can't be read.
    init(_ header: VHDHeader, in source: any ImageSource) throws(ImageError) {
        let bytes = try source.read(FileRange(header.offset, length: VHDHeader.encodedLength))
        uniqueID = Array(bytes[40..<56])
        timestamp = bytes.bigEndian(at: 56)
        var names: [String] = []
        for index in 0..<Self.locatorCount {
            let start = Self.locatorsOffset + index * Self.locatorLength
            guard bytes.bigEndian(UInt32.self, at: start) == Self.relativePath else { continue }
            let length = UInt64(bytes.bigEndian(UInt32.self, at: start + 8))
            guard length <= 2 * UInt64(ReferencedName.maximumLength) else {
                throw ImageError(
                    .corrupt,
                    "parent locator \(index) of the VHD has \(length) bytes, more than any path that Lathe follows",
                    path: source.name, offset: FileOffset(header.offset + UInt64(start)))
            }
            let offset: UInt64 = bytes.bigEndian(at: start + 16)
            try source.requireHeld(FileRange(offset, length: length))
            let text = Self.text(try source.read(FileRange(offset, length: length)), littleEndian: true)
            names.append(Self.path(text))
        }
        names.append(Self.path(Self.text(Array(bytes[Self.nameRange]), littleEndian: false)))
        self.names = names.filter { !$0.isEmpty }
    }

    /// UTF-16 up to the first zero; what is none becomes U+FFFD, which no name that is opened has.
    private static func text(_ bytes: [UInt8], littleEndian: Bool) -> String {
        let units = (0..<bytes.count / 2).map { index in
            littleEndian
                ? bytes.littleEndian(UInt16.self, at: 2 * index) : bytes.bigEndian(UInt16.self, at: 2 * index)
        }
        return PathText.text(of: String(decoding: units.prefix { $0 != 0 }, as: UTF16.self).utf8)
    }

    /// A path as Windows writes it, with our separators.
    private static func path(_ text: String) -> String {
        String(text.map { $0 == "\\" ? "/" : $0 })
    }

    /// Opens the parent by the first of its names that leads to a file, and sees that it is the right one.
    ///
    /// - Throws: `external-reference` or `input-output` where no name leads anywhere; `mismatch` where the file is another disk, or
    ///   has been written to since.
    func open(_ references: any ReferencedFiles, for image: any ImageSource) throws(ImageError) -> any ImageSource {
        let purpose = "this VHD is a differencing disk whose content is partly in a parent file"
        var failure: ImageError?
        for name in names {
            let parent: any ImageSource
            do throws(ImageError) {
                parent = try references.open(name, because: purpose, namedBy: image)
            } catch {
                failure = failure ?? error
                continue
            }
            try requireParent(parent, of: image)
            return parent
        }
        throw failure
            ?? ImageError(
                .externalReference,
                "\(purpose), but it has neither a relative path nor a name for it (Lathe follows no absolute path)",
                path: image.name)
    }

    /// - Throws: `mismatch`.
    private func requireParent(_ parent: any ImageSource, of image: any ImageSource) throws(ImageError) {
        let footer = try VHDFooterCopies(source: parent).footer()
        guard footer.uniqueID == uniqueID else {
            throw ImageError(
                .mismatch,
                "the VHD has the parent \(uuidText(uniqueID)), but '\(parent.name)' is the disk "
                    + "\(uuidText(footer.uniqueID)); find the right file", path: image.name)
        }
        // The specification means the time at which the parent was last written to. Some writers take that of its file, and
        // some the time stamp in its footer, which a copy of the file keeps.
        var times = [Int64(footer.timestamp)]
        if let written = parent.identity?.modificationTime { times.append(written - Int64(VHDFooter.epoch)) }
        guard times.contains(Int64(timestamp)) else {
            let found = times.map(String.init).joined(separator: " in its footer and ")
            throw ImageError(
                .mismatch,
                "the VHD's parent had the time stamp \(timestamp) (seconds since 2000), but '\(parent.name)' has \(found)"
                    + "\(times.count > 1 ? " as a file" : ""): it may have been written to since, and what shows through then "
                    + "is not what the disk had", path: image.name)
        }
    }
}
