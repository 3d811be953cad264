import ImageModel

/// An internal snapshot: an L1 table of its own, and the size that the disk had.
///
/// Source: QEMU `docs/interop/qcow2.rst`, section "Snapshots".
struct QCOW2Snapshot: Sendable {
    var id: String
    var name: String
    var l1Offset: UInt64
    var l1EntryCount: UInt64
    /// In bytes; nil where the entry does not say it, and the disk has kept its size.
    var diskSize: UInt64?
    /// When it was taken, since 1970-01-01 UTC.
    var date: (seconds: UInt32, nanoseconds: UInt32)
    /// How long the machine had run, in nanoseconds.
    var machineClock: UInt64
    /// Of the machine's saved state, in bytes.
    var stateSize: UInt64
    /// nil where the entry does not say it.
    var instructionCount: UInt64?
    /// Where its entry stands.
    var offset: FileOffset
}

/// The table of internal snapshots, read entry by entry.
enum QCOW2SnapshotTable {
    /// The fixed fields of an entry, in bytes.
    private static let fixedLength: UInt64 = 40

    /// Finds the snapshot that is meant.
    ///
    /// - Throws: `invalid-option` where there is none, or more than one; `corrupt` where the table can't be right.
    static func find(_ selection: SnapshotSelection, _ header: QCOW2Header, in source: any ImageSource)
        throws(ImageError) -> QCOW2Snapshot
    {
        var byID: QCOW2Snapshot?
        var named: [QCOW2Snapshot] = []
        var others: [String] = []
        try forEach(header, in: source) { snapshot in
            if snapshot.id == selection.either { byID = byID ?? snapshot }
            let fits: Bool
            if let either = selection.either {
                fits = snapshot.name == either
            } else {
                fits = selection.id ?? snapshot.id == snapshot.id && selection.name ?? snapshot.name == snapshot.name
            }
            // Two are enough to know that it is not clear which is meant.
            if fits, named.count < 2 { named.append(snapshot) }
            if others.count < ImageLimits.QCOW2.toldSnapshots {
                others.append("\(ReferencedName.shown(snapshot.id)) '\(ReferencedName.shown(snapshot.name))'")
            }
        }
        if let byID { return byID }
        func refusal(_ text: String) -> ImageError { ImageError(.invalidOption, text, path: source.name) }
        guard let only = named.first else {
            let list = others.isEmpty ? "it has none" : "it has \(others.joined(separator: ", "))"
            let more = header.snapshotCount > UInt64(others.count) ? " and others" : ""
            throw refusal("no snapshot \(selection) is in this image: \(list)\(more)")
        }
        guard named.count == 1 else {
            throw refusal(
                "more than one snapshot \(selection) is in this image, with the IDs \(named[0].id) and \(named[1].id): name "
                    + "the one that is meant by -l snapshot.id=ID")
        }
        return only
    }

    /// Hands every entry to `body`, in the table's order.
    static func forEach(
        _ header: QCOW2Header, in source: any ImageSource, _ body: (QCOW2Snapshot) -> Void
    ) throws(ImageError) {
        var position = header.snapshotsOffset
        for index in 0..<header.snapshotCount {
            let fixed = try source.read(FileRange(position, length: fixedLength))
            let idLength = UInt64(fixed.bigEndian(UInt16.self, at: 12))
            let nameLength = UInt64(fixed.bigEndian(UInt16.self, at: 14))
            let extraLength = UInt64(fixed.bigEndian(UInt32.self, at: 36))
            let length = fixedLength + extraLength + idLength + nameLength
            guard extraLength <= ImageLimits.QCOW2.snapshotExtraLength,
                position - header.snapshotsOffset + length <= ImageLimits.QCOW2.snapshotTableLength
            else {
                throw ImageError(
                    .corrupt,
                    "entry \(index) of the qcow2 snapshot table has \(length) bytes, \(extraLength) of them extra data, more "
                        + "than the table of \(ImageLimits.QCOW2.snapshotTableLength) or the "
                        + "\(ImageLimits.QCOW2.snapshotExtraLength) of extra data allow", path: source.name,
                    offset: FileOffset(position))
            }
            let rest = try source.read(FileRange(position + fixedLength, length: length - fixedLength))
            let names = rest[Int(extraLength)...]
            body(
                QCOW2Snapshot(
                    id: String(decoding: names.prefix(Int(idLength)), as: UTF8.self),
                    name: String(decoding: names.dropFirst(Int(idLength)), as: UTF8.self),
                    l1Offset: fixed.bigEndian(at: 0), l1EntryCount: UInt64(fixed.bigEndian(UInt32.self, at: 8)),
                    diskSize: extraLength >= 16 ? rest.bigEndian(at: 8) : nil,
                    date: (fixed.bigEndian(at: 16), fixed.bigEndian(at: 20)), machineClock: fixed.bigEndian(at: 24),
                    stateSize: extraLength >= 8 ? rest.bigEndian(at: 0) : UInt64(fixed.bigEndian(UInt32.self, at: 32)),
                    instructionCount: extraLength >= 24 ? known(rest.bigEndian(at: 16)) : nil,
                    offset: FileOffset(position)))
            position += length + (8 - length % 8) % 8
        }
    }
}

extension QCOW2SnapshotTable {
    /// All bits set say that the count is not known.
    private static func known(_ count: UInt64) -> UInt64? { count == .max ? nil : count }
}

extension QCOW2Header {
    /// The header of the disk as it was when a snapshot was taken.
    ///
    /// - Throws: `corrupt` or `limit-exceeded` where its L1 table can't be right.
    func showing(_ snapshot: QCOW2Snapshot, path: String) throws(ImageError) -> QCOW2Header {
        var shown = self
        shown.l1Offset = snapshot.l1Offset
        shown.l1EntryCount = snapshot.l1EntryCount
        shown.diskSize = snapshot.diskSize ?? diskSize
        guard !hasDataFile else {
            throw ImageError(
                .unsupported,
                "this qcow2 image has its content in a data file, and no snapshot of such an image holds: what it refers to "
                    + "may have been overwritten", path: path, offset: snapshot.offset)
        }
        let what = "snapshot \(ReferencedName.shown(snapshot.id)) '\(ReferencedName.shown(snapshot.name))'"
        do throws(ImageError) {
            try shown.validate(path: path)
        } catch {
            var explained = error
            explained.message = "of \(what): \(error.message)"
            explained.offset = snapshot.offset
            throw explained
        }
        return shown
    }
}
