import ImageCodecs
import ImageFormats
import ImageModel

/// Images of several files, each of which is held against the manifest for itself.
extension Verification {
    func checkFiles(_ manifest: Manifest, _ report: inout VerificationReport) throws(ImageError) {
        report.objectLength = 0
        var faults: [String] = []
        var firstPart = 0
        var sums: [(crc64ecma: UInt64, length: UInt64)] = []
        for (index, file) in manifest.files.enumerated() {
            let partCount = Int(file.length.dividedRoundingUp(by: manifest.parts.length))
            let expected = manifest.parts.crc64ecma[firstPart..<firstPart + partCount]
            firstPart += partCount
            let opened: any ImageSource
            do throws(ImageError) {
                opened = try index == 0 ? source : references.open(file.name, namedBy: source.name)
            } catch {
                if error.code == .cancelled { throw error }
                faults.append("\(file.name) can't be opened: \(error)")
                continue
            }
            report.objectLength += opened.length
            let found = try check(opened, file, parts: Array(expected), of: manifest.parts.length)
            faults += found.faults
            sums.append((found.crc64ecma, opened.length))
        }
        guard faults.isEmpty else { return report.add(.object, .failed, VerificationReport.told(faults)) }
        report.object = Checksums(crc64ecma: CRC64Sum.checksum(ofFiles: sums))
        report.add(
            .object, .passed,
            "each of \(manifest.files.count) files has the length, the CRC-64 and the digests of the manifest, and each of "
                + "\(manifest.parts.crc64ecma.count) parts is right")
    }

    private func check(
        _ source: any ImageSource, _ file: WrittenFile, parts expected: [UInt64], of partLength: UInt64
    ) throws(ImageError) -> (faults: [String], crc64ecma: UInt64) {
        var selection = ChecksumSelection.crc64ecma
        if file.checksums?.sha256 != nil { selection.insert(.sha256) }
        if file.checksums?.sha256Tree != nil { selection.insert(.sha256Tree) }
        let pass = try ObjectPass(
            PrefixSource(source, length: file.length), holding: nil, partLength: partLength, selection, work)
        var faults: [String] = []
        if source.length != file.length {
            faults.append("\(file.name) has \(source.length) bytes, expected \(file.length)")
        }
        let found = pass.parts.crc64ecma
        let damaged = expected.indices.filter { $0 >= found.count || found[$0] != expected[$0] }
        if let first = damaged.first {
            faults.append(
                "\(file.name) is damaged in \(damaged.count) of \(expected.count) parts, the first at byte "
                    + "\(UInt64(first) * partLength)")
        }
        for (name, found, expected) in [
            ("SHA-256", pass.object.sha256, file.checksums?.sha256),
            ("sha256-tree", pass.object.sha256Tree, file.checksums?.sha256Tree),
        ] where found != expected {
            faults.append("\(name) of \(file.name) is \(found ?? "unknown"), expected \(expected ?? "none")")
        }
        return (faults, pass.object.crc64ecma)
    }
}
