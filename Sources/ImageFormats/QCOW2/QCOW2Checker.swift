public import ImageModel

/// Checks a qcow2 image: header, tables, and that every cluster's refcount is the number of its references.
///
/// The tables are read once to find every reference, and then once more for each window of the file's clusters, in which
/// references are counted and held against the stored refcounts; see `QCOW2Survey` and `QCOW2RefcountWindow`.
public enum QCOW2Checker: ImageChecker {
    public static func check(_ source: any ImageSource) -> CheckReport {
        var report = CheckReport()
        do throws(ImageError) {
            let header = try QCOW2Header(source: source)
            try header.validate(path: source.name)
            try header.requireStandardTables(path: source.name)
            checkHeader(header, &report)
            var survey = QCOW2Survey(header: header, source: source)
            try survey.run(&report)
            try survey.countReferences(&report)
        } catch {
            report.fail(with: error)
        }
        return report
    }

    private static func checkHeader(_ header: QCOW2Header, _ report: inout CheckReport) {
        report.totalUnits = header.virtualSize.dividedRoundingUp(by: header.clusterSize)
        if header.incompatibleFeatures.contains(.corrupt) {
            report.add(
                .corruption,
                "the image is marked as corrupt: a program that wrote to it found its tables damaged, and QEMU "
                    + "opens it only for reading", at: FileOffset(72))
        }
        if header.incompatibleFeatures.contains(.dirty) {
            report.add(
                .warning,
                "the image was not closed, so its refcounts may be stale: they are not checked, and leaks are not "
                    + "counted; 'qemu-img check -r all' writes them anew", at: FileOffset(72))
        }
        if header.bitmaps != nil && !header.hasValidBitmaps {
            report.add(
                .warning,
                "the image has persistent bitmaps that are void, since a program that knows none has written to it: their "
                    + "clusters are leaks", at: FileOffset(88))
        }
        if header.diskSize % sectorSize != 0 {
            report.add(
                .warning, "the disk size of \(header.diskSize) bytes is not in whole sectors: QEMU rounds it down",
                at: FileOffset(24))
        }
        if header.refcountTableClusters == 0 {
            report.add(
                .corruption, "the image has no refcount table, and QEMU refuses such an image", at: FileOffset(56))
        }
    }
}
