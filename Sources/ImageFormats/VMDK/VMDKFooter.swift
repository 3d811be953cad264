import ImageModel

/// The end of a stream whose header does not know the grain directory: a footer marker, the footer, and the end-of-stream
/// marker, one sector each.
///
/// Source: VMware Virtual Disk Format 5.0, "Stream-Optimized Compressed Sparse Extents".
struct VMDKFooter: Hashable, Sendable {
    /// What the footer says; it overrides the header.
    let header: VMDKHeader
    /// Where its fields are.
    let offset: FileOffset

    /// Where the end-of-stream marker ends, which is all zero.
    var end: UInt64 { offset.bytes + 2 * sectorSize }

    /// Looks for the footer at the end of a file.
    ///
    /// It is the last sector that is not zero, since the end-of-stream marker is: so it is found, too, where that marker was cut
    /// off, or where whatever stored the file filled it up with zeros.
    ///
    /// - Throws: `truncated` where there is none; `corrupt`, `unsupported` or `limit-exceeded` for what it says.
    init(in source: any ImageSource) throws(ImageError) {
        guard let offset = try Self.find(in: source) else {
            throw ImageError(
                .truncated,
                "there is no footer in front of an end-of-stream marker at the end of the VMDK, where its header promises one; "
                    + "it is cut short or has bytes behind its end", path: source.name, offset: FileOffset(56))
        }
        let footer = try VMDKHeader(source: source, at: offset)
        try footer.validate(path: source.name, at: offset)
        guard footer.directoryOffset != VMDKHeader.directoryAtEnd else {
            throw ImageError(
                .corrupt, "the VMDK footer says that the grain directory is at the end, which it should know",
                path: source.name, offset: offset + 56)
        }
        header = footer
        self.offset = offset
    }

    /// The last sector that is not zero, where a footer marker stands in front of it.
    private static func find(in source: any ImageSource) throws(ImageError) -> FileOffset? {
        let length = min(source.length, ImageLimits.VMDK.footerSearch)
        let start = (source.length - length).roundedDown(toMultipleOf: sectorSize)
        let tail = try source.read(FileRange(start, length: source.length - start))
        guard let last = tail.lastIndex(where: { $0 != 0 }) else { return nil }
        let footer = last - last % Int(sectorSize)
        let before = footer - Int(sectorSize)
        // The first sector is the header's.
        guard before >= 0, start + UInt64(before) >= sectorSize, footer + Int(VMDKHeader.encodedLength) <= tail.count
        else { return nil }
        let marker = VMDKMarker.metadata(.footer, sectors: 1)
        guard tail[before...].starts(with: marker), tail[(before + marker.count)..<footer].allSatisfy({ $0 == 0 })
        else {
            return nil
        }
        return FileOffset(start + UInt64(footer))
    }
}
