public import ImageModel

/// A raw image has no metadata that could be wrong; what can be said is whether it is in whole sectors.
public enum RawChecker: ImageChecker {
    public static func check(_ source: any ImageSource) -> CheckReport {
        var report = CheckReport()
        report.imageEnd = FileOffset(source.length)
        if source.length % sectorSize != 0 {
            report.add(
                .warning,
                "the file has \(source.length) bytes, which is not in whole sectors of \(sectorSize): other formats fill "
                    + "the last one with zeros", at: FileOffset(source.length.roundedDown(toMultipleOf: sectorSize)))
        }
        return report
    }
}
