public import ImageModel

/// A raw image has no metadata that could be wrong; what can be said is whether it is in whole sectors.
public enum RawChecker: ImageChecker {
    public static func check(_ source: any ImageSource) -> CheckReport {
        var report = CheckReport()
        report.imageEnd = FileOffset(source.length)
        if source.length % sectorSize != 0 {
            report.add(
                .warning, "the end of the file", is: "\(source.length)", expected: "a multiple of \(sectorSize)",
                "other formats fill the last sector with zeros",
                at: FileOffset(source.length.roundedDown(toMultipleOf: sectorSize)))
        }
        return report
    }
}
