public import ImageModel

// What `info` shows of the tables of a qcow2 image, with the keys of QEMU.
// Source: QEMU `docs/interop/qcow2.rst`, sections "Feature name table", "Bitmaps extension" and "Snapshots".

extension QCOW2Header {
    /// Bytes of an entry of the feature name table: the kind, the bit, and the name with zeros behind it.
    static let featureNameLength = 48

    /// What the image itself calls features.
    ///
    /// - Parameters:
    ///   - bits: of the features field.
    ///   - kind: 0 incompatible, 1 compatible, 2 autoclear.
    func names(ofFeatures bits: UInt64, kind: UInt8, in source: any ImageSource) throws(ImageError) -> [String] {
        guard bits != 0 else { return [] }
        // No program has more than a feature a bit, three times.
        let limit = UInt64(3 * 64 * Self.featureNameLength)
        let table =
            try featureNames.map { (place) throws(ImageError) in
                try source.read(FileRange(start: place.start, length: min(place.length, limit)))
            } ?? []
        return (0..<UInt8(64)).filter { bits >> $0 & 1 != 0 }.map { bit in
            for entry in stride(from: 0, through: table.count - Self.featureNameLength, by: Self.featureNameLength)
            where table[entry] == kind && table[entry + 1] == bit {
                let name = table[entry + 2..<entry + Self.featureNameLength].prefix { $0 != 0 }
                return
                    "bit \(bit), which the image calls '\(ReferencedName.shown(String(decoding: name, as: UTF8.self)))'"
            }
            return "bit \(bit), which has no name in the image"
        }
    }
}

extension QCOW2Reader {
    public func details(in source: any ImageSource) throws(ImageError) -> [FormatDetail] {
        var list = details
        let snapshots = try QCOW2SnapshotTable.records(of: header, in: source)
        if !snapshots.isEmpty { list.append(FormatDetail("snapshots", .records(snapshots))) }
        let bitmaps = try QCOW2BitmapDirectory.records(of: header, in: source)
        if !bitmaps.isEmpty { list.append(FormatDetail("bitmaps", .records(bitmaps))) }
        let unknown =
            try header.names(ofFeatures: header.compatibleFeatures & ~1, kind: 1, in: source)
            + header.names(ofFeatures: header.autoclearFeatures & ~3, kind: 2, in: source)
        if !unknown.isEmpty { list.append(FormatDetail("unknown-features", .texts(unknown))) }
        return list
    }
}

extension QCOW2SnapshotTable {
    /// What QEMU says of each snapshot.
    static func records(of header: QCOW2Header, in source: any ImageSource) throws(ImageError) -> [[FormatDetail]] {
        var records: [[FormatDetail]] = []
        try forEach(header, in: source) { snapshot in
            let clock = snapshot.machineClock
            var record = [
                FormatDetail("id", .text(snapshot.id)), FormatDetail("name", .text(snapshot.name)),
                FormatDetail("vm-state-size", .number(snapshot.stateSize)),
                FormatDetail("date-sec", .number(UInt64(snapshot.date.seconds))),
                FormatDetail("date-nsec", .number(UInt64(snapshot.date.nanoseconds))),
                FormatDetail("vm-clock-sec", .number(clock / 1_000_000_000)),
                FormatDetail("vm-clock-nsec", .number(clock % 1_000_000_000)),
            ]
            if let count = snapshot.instructionCount { record.append(FormatDetail("icount", .number(count))) }
            records.append(record)
        }
        return records
    }
}

/// The directory of persistent dirty bitmaps.
enum QCOW2BitmapDirectory {
    /// The data of the extension, and the fixed fields of an entry, in bytes.
    private static let (extensionLength, fixedLength): (UInt64, UInt64) = (24, 24)
    /// `granularity_bits`: 512 bytes to 2 GiB.
    private static let granularityBits: ClosedRange<UInt8> = 9...31

    /// What QEMU says of each bitmap; nothing where they are void.
    ///
    /// - Throws: `corrupt` or `truncated` where the directory can't be right.
    static func records(of header: QCOW2Header, in source: any ImageSource) throws(ImageError) -> [[FormatDetail]] {
        guard let place = header.bitmaps, header.hasValidBitmaps else { return [] }
        func refusal(_ text: String, _ offset: UInt64) -> ImageError {
            ImageError(.corrupt, text + "; run 'lathe check'", path: source.name, offset: FileOffset(offset))
        }
        guard place.length >= extensionLength else {
            throw refusal("qcow2 has a bitmaps extension of \(place.length) bytes, expected 24", place.start.bytes)
        }
        let bytes = try source.read(FileRange(start: place.start, length: extensionLength))
        let count: UInt32 = bytes.bigEndian(at: 0)
        guard count <= ImageLimits.QCOW2.bitmapCount else {
            throw refusal(
                "qcow2 has \(count) bitmaps, expected at most \(ImageLimits.QCOW2.bitmapCount)", place.start.bytes)
        }
        let end = FileRange(bytes.bigEndian(UInt64.self, at: 16), length: bytes.bigEndian(UInt64.self, at: 8)).end
        var position: UInt64 = bytes.bigEndian(at: 16)
        var records: [[FormatDetail]] = []
        for index in 0..<count {
            guard position + fixedLength <= end.bytes else {
                throw refusal("entry \(index) of the \(count) of the bitmap directory is behind its end", position)
            }
            let entry = try source.read(FileRange(position, length: fixedLength))
            let flags: UInt32 = entry.bigEndian(at: 12)
            guard granularityBits.contains(entry[17]) else {
                throw refusal(
                    "bitmap \(index) has a granularity of 2^\(entry[17]) bytes, expected 2^9 to 2^31", position + 17)
            }
            let nameLength = UInt64(entry.bigEndian(UInt16.self, at: 18))
            let extraLength = UInt64(entry.bigEndian(UInt32.self, at: 20))
            let name = try source.read(FileRange(position + fixedLength + extraLength, length: nameLength))
            records.append([
                FormatDetail("name", .text(String(decoding: name, as: UTF8.self))),
                FormatDetail("granularity", .number(1 << UInt64(entry[17]))),
                FormatDetail("flags", .texts((flags & 1 != 0 ? ["in-use"] : []) + (flags & 2 != 0 ? ["auto"] : []))),
            ])
            let length = fixedLength + nameLength + extraLength
            position += length + (8 - length % 8) % 8
        }
        return records
    }
}
