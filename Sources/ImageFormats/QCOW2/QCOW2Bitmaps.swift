import ImageModel

// Persistent dirty bitmaps own clusters: a directory, and for each bitmap a table and the clusters of its bits.
// Source: QEMU `docs/interop/qcow2.rst`, sections "Bitmaps extension" and "Bitmaps".

extension QCOW2Survey {
    /// The data of the bitmaps extension, in bytes.
    private static let extensionLength: UInt64 = 24
    /// The fixed fields of a directory entry, in bytes.
    private static let fixedLength: UInt64 = 24
    /// Bits of a bitmap table entry that must be clear.
    private static let reservedTableBits: UInt64 = 0xFF00_0000_0000_01FE

    mutating func surveyBitmaps(_ report: inout CheckReport) throws(ImageError) {
        // Without the autoclear bit a program that knows no bitmaps has written: they are void.
        guard let place = header.bitmaps, header.hasValidBitmaps else { return }
        guard place.length >= Self.extensionLength else {
            let fault = QCOW2EntryFault(
                found: "\(place.length)", expected: "\(Self.extensionLength)",
                consequence: "the bitmaps can't be read, and their clusters count as leaks")
            reject("the length of the bitmaps extension", fault, at: place.start.bytes, &report)
            return
        }
        let bytes = try source.read(FileRange(start: place.start, length: Self.extensionLength))
        let count: UInt32 = bytes.bigEndian(at: 0)
        let directory = FileRange(bytes.bigEndian(UInt64.self, at: 16), length: bytes.bigEndian(UInt64.self, at: 8))
        guard count <= ImageLimits.QCOW2.bitmapCount else {
            let fault = QCOW2EntryFault(
                found: "\(count)", expected: "at most \(ImageLimits.QCOW2.bitmapCount)",
                consequence: "the bitmaps can't be read, and their clusters count as leaks")
            reject("the number of bitmaps", fault, at: place.start.bytes, &report)
            return
        }
        guard own(directory, "the bitmap directory", &report, from: place.start.bytes) else { return }
        try surveyBitmapDirectory(directory, count: count, &report)
    }

    private mutating func surveyBitmapDirectory(_ directory: FileRange, count: UInt32, _ report: inout CheckReport)
        throws(ImageError)
    {
        var position = directory.start.bytes
        for index in 0..<count {
            guard position + Self.fixedLength <= directory.end.bytes else {
                let fault = QCOW2EntryFault(
                    found: "behind the directory's end at \(directory.end.bytes)",
                    expected: "\(count) entries before it",
                    consequence: "this bitmap and those behind it are lost, and their clusters count as leaks")
                reject("entry \(index) of the bitmap directory", fault, at: position, &report)
                return
            }
            let bytes = try source.read(FileRange(position, length: Self.fixedLength))
            let tableLength = UInt64(bytes.bigEndian(UInt32.self, at: 8)) * QCOW2Tables.entryLength
            let table = FileRange(bytes.bigEndian(UInt64.self, at: 0), length: tableLength)
            if ownTable(table, "the table of bitmap \(index)", &report, from: position) {
                try surveyBitmapTable(table, &report)
            }
            let nameLength = UInt64(bytes.bigEndian(UInt16.self, at: 18))
            let extraLength = UInt64(bytes.bigEndian(UInt32.self, at: 20))
            let length = Self.fixedLength + nameLength + extraLength
            position += length + (8 - length % 8) % 8
        }
    }

    private mutating func surveyBitmapTable(_ table: FileRange, _ report: inout CheckReport) throws(ImageError) {
        let count = table.length / QCOW2Tables.entryLength
        let seen = try QCOW2Tables.forEachUsedEntry(ofCount: count, tableAt: table.start.bytes, in: source) {
            (index, entry) throws(ImageError) in
            let place = table.start.bytes + index * QCOW2Tables.entryLength
            guard entry & Self.reservedTableBits == 0 else {
                reject(
                    "bitmap table entry \(index)", .reservedBits(entry & Self.reservedTableBits, of: entry), at: place,
                    &report)
                return
            }
            // Without a place the entry says by bit 0 whether all its bits are set.
            let offset = entry & QCOW2Tables.offsetMask
            guard offset != 0 else { return }
            own(FileRange(offset, length: header.clusterSize), "a bitmap", &report, from: place)
            try spend(1)
        }
        try spend(seen)
    }
}
