import ImageModel

/// The end of a stream whose header does not know the grain directory: a footer marker, the footer, and the end-of-stream
/// marker, one sector each.
///
/// Source: VMware Virtual Disk Format 5.0, "Stream-Optimized Compressed Sparse Extents".
enum VMDKFooter {
    /// Bytes from the footer marker to the end of the file.
    static let length = 3 * sectorSize

    /// File offset of the footer's fields; the file is at least `length` bytes long.
    static func offset(in source: any ImageSource) -> FileOffset { FileOffset(source.length - 2 * sectorSize) }

    /// The header that holds, checked: the footer where there is one, for it overrides the header.
    ///
    /// - Throws: `truncated`, `corrupt`, `unsupported` or `limit-exceeded`.
    static func effectiveHeader(_ head: VMDKHeader, in source: any ImageSource) throws(ImageError) -> VMDKHeader {
        try head.validate(path: source.name)
        try head.validateDescriptorPlace(path: source.name)
        guard head.directoryOffset == VMDKHeader.directoryAtEnd else { return head }
        guard source.length >= length + sectorSize else {
            throw ImageError(
                .truncated,
                "the VMDK ends at byte \(source.length), before the footer that its header promises; it is cut "
                    + "short", path: source.name, offset: FileOffset(56))
        }
        let start = FileOffset(source.length - length)
        let bytes = try source.read(FileRange(start: start, length: length))
        let marker = VMDKMarker.metadata(.footer, sectors: 1)
        guard bytes.starts(with: marker), bytes[marker.count..<Int(sectorSize)].allSatisfy({ $0 == 0 }) else {
            throw ImageError(
                .truncated,
                "there is no footer marker 3 sectors before the end of the VMDK, where its header promises one; "
                    + "it is cut short or has bytes behind its end", path: source.name, offset: start)
        }
        guard bytes[Int(2 * sectorSize)...].allSatisfy({ $0 == 0 }) else {
            throw ImageError(
                .corrupt, "the last sector of the VMDK is not the end-of-stream marker, which is all zero",
                path: source.name, offset: FileOffset(source.length - sectorSize))
        }
        let footer = try VMDKHeader(source: source, at: offset(in: source))
        try footer.validate(path: source.name, at: offset(in: source))
        try footer.validateDescriptorPlace(path: source.name)
        guard footer.directoryOffset != VMDKHeader.directoryAtEnd else {
            throw ImageError(
                .corrupt, "the VMDK footer says that the grain directory is at the end, which it should know",
                path: source.name, offset: offset(in: source) + 56)
        }
        return footer
    }
}
