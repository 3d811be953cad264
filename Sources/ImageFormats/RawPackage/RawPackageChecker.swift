public import ImageModel

/// Checks a raw disk in a `.tar.gz`: the archive's header and end, that members follow each other without a gap, and that each
/// has a length that its unit's content can come to.
///
/// What the members hold is not inflated; each has a CRC-32 and the length of its content, which reading the disk looks at.
public enum RawPackageChecker: ImageChecker {
    public static func check(_ source: any ImageSource) -> CheckReport {
        var report = CheckReport()
        do throws(ImageError) {
            let members = try RawPackageMembers(source: source)
            report.totalUnits = members.header.size.dividedRoundingUp(by: RawPackageEncoder.unitLength)
            report.imageEnd = members.end
            try members.forEachUnit(from: GuestOffset(0), in: source) { (unit) throws(ImageError) in
                guard !unit.isZero else { return true }
                report.allocatedUnits += 1
                report.compressedUnits += 1
                return true
            }
            let behind = source.length - members.end.bytes
            if behind > 0 {
                report.add(
                    .corruption, "what follows the archive", is: "\(behind) bytes", expected: "the end of the file",
                    "other programs stop there with an error", at: members.end)
            }
            if members.header.size % sectorSize != 0 {
                report.add(
                    .warning, "the size of the disk in the archive", is: "\(members.header.size) bytes",
                    expected: "a multiple of \(sectorSize)", "other formats fill the last sector with zeros",
                    at: FileOffset(0))
            }
        } catch {
            report.fail(with: error)
        }
        return report
    }
}
