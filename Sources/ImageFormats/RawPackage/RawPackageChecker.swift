public import ImageModel

/// Checks a raw disk in a package: its head and end, that units follow each other without a gap, and that each has a length that
/// its content can come to.
///
/// What the units hold is not inflated; each has a checksum, which reading the disk looks at.
public enum RawPackageChecker<Kind: RawPackageKind>: ImageChecker {
    public static func check(_ source: any ImageSource) -> CheckReport {
        var report = CheckReport()
        do throws(ImageError) {
            let members = try RawPackageMembers(Kind.packaging, source: source)
            report.totalUnits = members.size.dividedRoundingUp(by: RawPackageEncoder.unitLength)
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
                    .corruption, "what follows the package", is: "\(behind) bytes", expected: "the end of the file",
                    "other programs stop there with an error", at: members.end)
            }
            if members.size % sectorSize != 0 {
                report.add(
                    .warning, "the size of the disk in the package", is: "\(members.size) bytes",
                    expected: "a multiple of \(sectorSize)", "other formats fill the last sector with zeros",
                    at: FileOffset(0))
            }
        } catch {
            report.fail(with: error)
        }
        return report
    }
}
