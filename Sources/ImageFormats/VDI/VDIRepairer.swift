public import ImageModel

/// Makes the number of allocated blocks in the header of a VDI what the block map says.
public enum VDIRepairer: ImageRepairer {
    /// Where the number stands in the header: `cBlocksAllocated`.
    private static let countOffset: UInt64 = 388

    public static func plan(_ source: any ImageSource, _ report: CheckReport, scope: RepairScope) throws(ImageError)
        -> RepairPlan?
    {
        guard scope == .all, report.incomplete == nil else { return nil }
        let header = try VDIHeader(source: source)
        guard report.allocatedUnits != header.allocatedBlocks, report.totalUnits == header.blockCount else {
            return nil
        }
        let mapped = UInt32(truncatingIfNeeded: report.allocatedUnits)
        var bytes = [UInt8](repeating: 0, count: 4)
        bytes.storeLittleEndian(mapped, at: 0)
        return RepairPlan(
            length: source.length,
            actions: ["the number of allocated blocks is set from \(header.allocatedBlocks) to \(mapped)"],
            [.write(MetadataSegment(at: FileOffset(countOffset), bytes))])
    }

    /// Compares the whole header, but for the one number; the map is not written to.
    public static func requireSameMapping(_ before: any ImageSource, _ after: any ImageSource) throws(ImageError) {
        var (old, new) = (try VDIHeader(source: before), try VDIHeader(source: after))
        old.allocatedBlocks = 0
        new.allocatedBlocks = 0
        guard old == new else {
            throw ImageError(
                .verificationFailed,
                "the repair would change more of the header than the number of allocated blocks; nothing was written",
                path: before.name, offset: FileOffset(countOffset))
        }
    }
}
