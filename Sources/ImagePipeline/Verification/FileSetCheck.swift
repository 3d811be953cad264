import ImageCodecs
import ImageFormats
import ImageModel

/// Images of several files, each of which is held against the manifest for itself.
extension Verification {
    func checkFiles(
        _ files: ListedFileSet, _ image: DiskImage?, _ manifest: Manifest, _ report: inout VerificationReport
    ) throws(ImageError) {
        report.objectLength = files.sources.reduce(0) { $0 + ($1?.length ?? 0) }
        var faults = files.faults
        var found: [PartChecksums?] = []
        var sums: [(crc64ecma: UInt64, length: UInt64)] = []
        for (opened, file) in zip(files.sources, manifest.files) {
            guard let opened else {
                found.append(nil)
                continue
            }
            let pass = try pass(over: opened, file, partLength: manifest.parts.length)
            faults += Self.faults(of: pass, over: opened, file)
            found.append(pass.parts)
            sums.append((pass.object.crc64ecma, opened.length))
        }
        report.damagedParts = Self.damagedParts(found, of: files, manifest)
        faults += Self.faults(of: report.damagedParts, files, manifest)
        if let image, !report.damagedParts.isEmpty {
            // Where the tables are damaged too, the parts stay without guest ranges.
            try? DamageLocator.locate(&report.damagedParts, of: files, manifest, in: image)
        }
        guard faults.isEmpty else { return report.add(.object, .failed, VerificationReport.told(faults)) }
        report.object = Checksums(crc64ecma: CRC64Sum.checksum(ofFiles: sums))
        report.add(
            .object, .passed,
            "each of \(manifest.files.count) files has the length, the CRC-64 and the digests of the manifest, and each of "
                + "\(manifest.parts.crc64ecma.count) parts is right")
    }

    private func pass(over source: any ImageSource, _ file: WrittenFile, partLength: UInt64) throws(ImageError)
        -> ObjectPass
    {
        var selection = ChecksumSelection.crc64ecma
        if file.checksums?.sha256 != nil { selection.insert(.sha256) }
        if file.checksums?.sha256Tree != nil { selection.insert(.sha256Tree) }
        return try ObjectPass(
            PrefixSource(source, length: file.length), holding: nil, partLength: partLength, selection, work)
    }

    /// What is wrong with a file beside its parts.
    private static func faults(of pass: ObjectPass, over source: any ImageSource, _ file: WrittenFile) -> [String] {
        var faults: [String] = []
        if source.length != file.length {
            faults.append("\(file.name) has \(source.length) bytes, expected \(file.length)")
        }
        for (name, found, expected) in [
            ("SHA-256", pass.object.sha256, file.checksums?.sha256),
            ("sha256-tree", pass.object.sha256Tree, file.checksums?.sha256Tree),
        ] where found != expected {
            faults.append("\(name) of \(file.name) is \(found ?? "unknown"), expected \(expected ?? "none")")
        }
        return faults
    }

    /// Files that are there, but have damaged parts.
    private static func faults(of damaged: [DamagedPart], _ files: ListedFileSet, _ manifest: Manifest) -> [String] {
        manifest.files.enumerated().compactMap { index, file in
            let own = damaged.filter { $0.fileIndex == index }
            guard files.sources[index] != nil, let first = own.first else { return nil }
            let count = file.length.dividedRoundingUp(by: manifest.parts.length)
            let start = first.file.start.bytes
            return "\(file.name) is damaged in \(own.count) of \(count) parts, the first at byte \(start)"
        }
    }

    /// - Parameter found: the parts of each file; nil for one that is not there.
    static func damagedParts(_ found: [PartChecksums?], of files: ListedFileSet, _ manifest: Manifest) -> [DamagedPart]
    {
        manifest.partPlaces.enumerated().compactMap { index, place in
            let expected = manifest.parts.crc64ecma[index]
            let length = files.sources[place.file]?.length ?? 0
            // A part that is cut short is missing: its CRC-64 is that of another length.
            let isWhole = place.range.end.bytes <= length
            let crc = isWhole ? found[place.file]?.crc64ecma[Int(place.range.start.bytes / manifest.parts.length)] : nil
            guard crc != expected else { return nil }
            let name = manifest.files.isEmpty ? nil : manifest.files[place.file].name
            return DamagedPart(
                index: index, fileIndex: place.file, fileName: name, file: place.range, expected: expected, found: crc)
        }
    }
}
