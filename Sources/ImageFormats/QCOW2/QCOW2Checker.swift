public import ImageModel

/// Checks a qcow2 image: header, tables, and that every cluster's refcount is the number of its references.
///
/// The tables are read once to find every reference, and then once more for each window of the file's clusters, in which
/// references are counted and held against the stored refcounts; see `QCOW2Survey` and `QCOW2RefcountWindow`. Neither a backing
/// file nor a data file is opened: nothing in this file depends on what is in them.
public enum QCOW2Checker: ImageChecker {
    public static func check(_ source: any ImageSource) -> CheckReport {
        var report = CheckReport()
        do throws(ImageError) {
            let header = try header(of: source, &report)
            checkHeader(header, &report)
            checkFeatures(header, &report)
            var survey = QCOW2Survey(header: header, source: source)
            try survey.run(&report)
            try survey.countReferences(&report)
        } catch {
            report.fail(with: error)
        }
        return report
    }

    /// Reads the header; a refcount table that it places where none can be counts as lost, since it says nothing of content.
    ///
    /// - Throws: what `QCOW2Header` throws.
    static func header(of source: any ImageSource, _ report: inout CheckReport) throws(ImageError) -> QCOW2Header {
        var header = try QCOW2Header(source: source)
        let longest = ImageLimits.QCOW2.refcountTableLength / header.clusterSize
        let (offset, clusters) = (header.refcountTableOffset, header.refcountTableClusters)
        if clusters == 0 {
            report.add(
                .corruption, "the length of the refcount table", is: "0 clusters", expected: "1 or more",
                "QEMU refuses such an image; 'lathe check --repair all' makes it a table", at: FileOffset(56))
        } else if clusters > longest || offset % header.clusterSize != 0 || offset == 0 || offset >= source.length {
            report.add(
                .corruption, "the place of the refcount table", is: "\(offset), of \(clusters) clusters",
                expected:
                    "a multiple of the cluster size \(header.clusterSize) behind the header and before the file's "
                    + "end at \(source.length), of at most \(longest) clusters",
                "nobody knows which clusters are free; 'lathe check --repair all' counts them anew", at: FileOffset(48))
            header.refcountTableClusters = 0
            header.refcountTableOffset = 0
        }
        try header.validate(path: source.name, unknownFeatures: header.unknownFeatures(in: source))
        return header
    }

    private static func checkHeader(_ header: QCOW2Header, _ report: inout CheckReport) {
        report.totalUnits = header.virtualSize.dividedRoundingUp(by: header.clusterSize)
        if header.bitmaps != nil && !header.hasValidBitmaps {
            report.add(
                .warning, "the autoclear features", is: hex(header.autoclearFeatures),
                expected: "bit 0 set, as the image has bitmaps",
                "a program that knows no bitmaps has written to it, so they are void and their clusters are leaks",
                at: FileOffset(88))
        }
        if header.snapshotCount == 0, header.snapshotsOffset % header.clusterSize != 0 {
            report.add(
                .warning, "the place of the snapshot table", is: "\(header.snapshotsOffset)",
                expected: "0, since there are no snapshots", "'qemu-img check' refuses such an image",
                at: FileOffset(64))
        }
        if header.diskSize % sectorSize != 0 {
            report.add(
                .warning, "the size of the disk", is: "\(header.diskSize) bytes",
                expected: "whole sectors of \(sectorSize)", "QEMU rounds it down", at: FileOffset(24))
        }
    }

    static func checkFeatures(_ header: QCOW2Header, _ report: inout CheckReport) {
        let features = header.incompatibleFeatures
        let field = hex(features.rawValue)
        if features.contains(.corrupt) {
            report.add(
                .corruption, "the incompatible features field", is: field, expected: "bit 1 (corrupt) clear",
                "a program that wrote to the image found its tables damaged, and QEMU opens it only for reading",
                at: FileOffset(72))
        }
        if features.contains(.dirty) {
            report.add(
                .warning, "the incompatible features field", is: field, expected: "bit 0 (dirty) clear",
                "the image was not closed, so its refcounts may be stale; 'lathe check --repair all' writes those anew that are, and "
                    + "clears the mark", at: FileOffset(72))
        }
        if features.contains(.externalDataFile), header.snapshotCount > 0 {
            report.add(
                .corruption, "the number of snapshots", is: "\(header.snapshotCount)",
                expected: "0, since the content is in a data file",
                "nothing keeps their content from being written over",
                at: FileOffset(60))
        }
        if !features.contains(.externalDataFile), header.autoclearFeatures & 2 != 0 {
            report.add(
                .corruption, "the autoclear features field", is: hex(header.autoclearFeatures),
                expected: "bit 1 (raw external data) clear, since there is no data file", "QEMU refuses such an image",
                at: FileOffset(88))
        }
    }
}
