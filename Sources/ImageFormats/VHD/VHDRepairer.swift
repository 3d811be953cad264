public import ImageModel

/// Makes the footers of a VHD right from the one that is whole: the one at the end from its copy at byte 0, or the copy from it;
/// and gives a footer of 511 bytes its last one.
///
/// No block is where these are written, which is seen to first.
public enum VHDRepairer: ImageRepairer {
    public static func plan(_ source: any ImageSource, _ report: CheckReport, scope: RepairScope) throws(ImageError)
        -> RepairPlan?
    {
        guard scope == .all, report.incomplete == nil else { return nil }
        let copies = try VHDFooterCopies(source: source)
        let footer = try copies.footer()
        let bytes = try footerBytes(copies, footer, path: source.name)
        var steps: [RepairStep] = []
        var actions: [String] = []
        var length = source.length
        if copies.tail?.valid == nil || copies.tail?.isShort == true {
            let place = try tailPlace(copies, footer, in: source)
            if copies.tail?.isShort == true, copies.tail?.valid != nil {
                actions.append("the footer at byte \(place) gets its last byte")
            } else {
                actions.append("the footer at byte \(place) is written anew from its copy at byte 0")
            }
            steps.append(.write(MetadataSegment(at: FileOffset(place), bytes)))
            length = max(length, place + VHDFooter.encodedLength)
        }
        if footer.diskType != .fixed, copies.head?.bytes != bytes {
            if !steps.isEmpty { steps.append(.barrier) }
            actions.append("the copy of the footer at byte 0 is written anew from the footer at the end")
            steps.append(.write(MetadataSegment(at: FileOffset(0), bytes)))
        }
        return steps.isEmpty ? nil : RepairPlan(length: length, actions: actions, steps)
    }

    /// The tables stay where they are; what reads them is the fingerprint's business.
    public static func requireSameMapping(_ before: any ImageSource, _ after: any ImageSource) throws(ImageError) {
        let (old, new) = (try VHDFooterCopies(source: before).footer(), try VHDFooterCopies(source: after).footer())
        guard old.diskType == new.diskType, old.virtualSize == new.virtualSize, old.dataOffset == new.dataOffset,
            old.uniqueID == new.uniqueID
        else {
            throw ImageError(
                .verificationFailed,
                "the footer that is whole says \(old.diskType.name), \(old.virtualSize) bytes, and after the repair "
                    + "\(new.diskType.name), \(new.virtualSize) bytes; nothing was written", path: before.name,
                offset: FileOffset(0))
        }
    }

    /// The footer that counts, as it stands in the file.
    ///
    /// - Throws: `corrupt` where the footer at the end is damaged and says another type than the copy: the copy may be what the
    ///   guest of a fixed disk wrote.
    private static func footerBytes(_ copies: VHDFooterCopies, _ footer: VHDFooter, path: String) throws(ImageError)
        -> [UInt8]
    {
        if let tail = copies.tail, tail.valid != nil { return tail.bytes }
        if let tail = copies.tail {
            let type: UInt32 = tail.bytes.bigEndian(at: 60)
            guard type == footer.diskType.rawValue else {
                throw ImageError(
                    .corrupt,
                    "the damaged footer at the end has disk type \(type), but the whole one at byte 0 has "
                        + "\(footer.diskType.rawValue); the guest of a fixed disk may have written the latter, so it is not "
                        + "copied", path: path, offset: tail.offset + 60)
            }
        }
        return copies.head?.bytes ?? []
    }

    /// Where the footer at the end belongs: where it stands, or in the last sector if no block is there, else behind all.
    private static func tailPlace(_ copies: VHDFooterCopies, _ footer: VHDFooter, in source: any ImageSource)
        throws(ImageError) -> UInt64
    {
        if let tail = copies.tail, tail.valid != nil { return tail.offset.bytes }
        let header = try VHDHeader(at: footer.dataOffset, source: source)
        try header.validate(virtualSize: footer.virtualSize, source: source)
        let tables = VHDTables(header: header)
        var end = tables.metadata.map(\.end.bytes).max() ?? 0
        var ignored = CheckReport()
        if footer.diskType == .differencing {
            let locators = try VHDParentCheck(header, in: source).check(tables, copies, &ignored)
            end = max(end, locators.map(\.end.bytes).max() ?? 0)
        }
        try tables.forEachEntry(of: 0..<tables.entryCount, in: source) { _, entry in
            guard entry != VHDTables.unusedEntry else { return true }
            end = max(end, tables.bitmapOffset(of: entry).bytes + tables.blockLength)
            return true
        }
        // A footer that was cut short leaves a part of a sector.
        let partial = source.length.roundedDown(toMultipleOf: sectorSize)
        if partial < source.length { return partial >= end ? partial : partial + sectorSize }
        return source.length >= end + VHDFooter.encodedLength ? source.length - VHDFooter.encodedLength : source.length
    }
}
