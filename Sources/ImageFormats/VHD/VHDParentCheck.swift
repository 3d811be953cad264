import ImageModel

/// Checks what the dynamic header of a differencing disk says of the parent: its UUID, its name, and the locators, of which each
/// says in the way of one platform where the parent is.
///
/// Source: "Virtual Hard Disk Image Format Specification" 1.0, "Dynamic Disk Header Format", "Parent Locator Entry".
struct VHDParentCheck {
    /// Entries of the locator table.
    private static let locatorCount = 8
    /// Where the locator table stands in the header.
    private static let locatorsOffset = 576
    /// Bytes of a locator entry.
    private static let locatorLength = 24
    /// Platform codes that the specification has, and 0 for an entry that is not in use.
    private static let platforms: [UInt32: String] = [
        0x5769_3272: "Wi2r", 0x5769_326B: "Wi2k", 0x5732_7275: "W2ru", 0x5732_6B75: "W2ku", 0x4D61_6320: "Mac ",
        0x4D61_6358: "MacX",
    ]

    private let header: VHDHeader
    private let bytes: [UInt8]
    private let fileLength: UInt64

    init(_ header: VHDHeader, in source: any ImageSource) throws(ImageError) {
        self.header = header
        bytes = try source.read(FileRange(header.offset, length: VHDHeader.encodedLength))
        fileLength = source.length
    }

    /// - Returns: the ranges of the file that locators take.
    func check(_ tables: VHDTables, _ copies: VHDFooterCopies, _ report: inout CheckReport) throws(ImageError)
        -> [FileRange]
    {
        let offset = FileOffset(header.offset)
        if Array(bytes[40..<56]).isZero {
            report.add(
                .corruption, "the UUID of the parent", is: "null", expected: "that of a disk",
                "nothing proves that a parent is the right one", at: offset + 40)
        }
        if Array(bytes[64..<576]).isZero {
            report.add(
                .warning, "the name of the parent", is: "empty", expected: "a name in UTF-16",
                "the parent is found by a locator alone", at: offset + 64)
        }
        var taken: [FileRange] = []
        for index in 0..<Self.locatorCount {
            guard let range = locator(index, tables, dataLimit: copies.dataLimit, &report) else { continue }
            if let other = taken.first(where: { VHDTables.overlap($0, range) }) {
                report.add(
                    .corruption, "the place of parent locator \(index)", is: "\(range.start.bytes)",
                    expected: "one apart from the locator at \(other.start.bytes)",
                    "one of the two was written over", at: place(index) + 16)
            }
            taken.append(range)
        }
        if taken.isEmpty {
            report.add(
                .corruption, "the table of parent locators", is: "without a locator that can be read",
                expected: "one or more", "the parent can't be found", at: place(0))
        }
        return taken
    }

    private func place(_ index: Int) -> FileOffset {
        FileOffset(header.offset + UInt64(Self.locatorsOffset + index * Self.locatorLength))
    }

    /// Checks one locator.
    ///
    /// - Returns: the range that it takes; nil where there is none, or none that can be.
    private func locator(_ index: Int, _ tables: VHDTables, dataLimit: FileOffset, _ report: inout CheckReport)
        -> FileRange?
    {
        let start = Self.locatorsOffset + index * Self.locatorLength
        let code: UInt32 = bytes.bigEndian(at: start)
        guard code != 0 else { return nil }
        if Self.platforms[code] == nil {
            report.add(
                .warning, "the platform code of parent locator \(index)", is: hex(code),
                expected: "one of \(Self.platforms.values.sorted().map { "'\($0)'" }.joined(separator: ", "))",
                "nobody knows how to read it", at: place(index))
        }
        // The specification counts the space in sectors; nearly all writers in bytes, and then it is a multiple of a sector.
        let room = UInt64(bytes.bigEndian(UInt32.self, at: start + 4))
        let space = room < sectorSize ? room * sectorSize : room
        let length = UInt64(bytes.bigEndian(UInt32.self, at: start + 8))
        let offset: UInt64 = bytes.bigEndian(at: start + 16)
        let (end, overflow) = offset.addingReportingOverflow(max(space, length))
        guard !overflow, end <= dataLimit.bytes else {
            report.add(
                .corruption, "the place of parent locator \(index)", is: "\(offset), of \(max(space, length)) bytes",
                expected: "one before the end of the data at \(dataLimit.bytes)", "the locator can't be read",
                at: place(index) + 16)
            return nil
        }
        if length > space {
            report.add(
                .corruption, "the length of parent locator \(index)", is: "\(length) bytes",
                expected: "at most the \(space) of its space", "it runs into what stands behind it",
                at: place(index) + 8)
        }
        let range = FileRange(offset, length: max(space, length))
        if let metadata = tables.metadata.first(where: { VHDTables.overlap($0, range) }) {
            report.add(
                .corruption, "the place of parent locator \(index)", is: "\(offset)",
                expected: "one apart from the metadata at \(metadata.start.bytes)", "one of the two was written over",
                at: place(index) + 16)
        }
        return range
    }
}
