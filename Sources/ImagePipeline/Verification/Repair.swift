internal import ImageCodecs
public import ImageFormats
public import ImageModel

/// An image that damaged parts may be made whole from: another copy, or a disk of the same content in any format.
public struct RepairDonor: Sendable {
    public var source: any ImageSource
    /// nil where its content says it.
    public var format: ImageFormat?
    /// What opens the files of it beside the source.
    public var references: any ReferencedFiles

    public init(
        _ source: any ImageSource, format: ImageFormat? = nil, references: any ReferencedFiles = NoReferencedFiles()
    ) {
        self.source = source
        self.format = format
        self.references = references
    }
}

/// What became of a repair.
public struct RepairReport: Hashable, Sendable {
    /// Parts that were rewritten, and the name of the donor of each.
    public var repaired: [Int: String] = [:]
    /// Parts that no donor had.
    public var remaining: [Int] = []
    /// Why a donor could not give what was missing.
    public var notes: [String] = []
}

/// Rewrites the damaged parts of an image's file in place, or of its files, and nothing else of it.
///
/// A part comes from another copy, where that has it whole, or is made anew: the encoder is deterministic, so a disk of the
/// same content and the options of the manifest give the same bytes. Either way nothing is written that does not have the
/// part's CRC-64 by the manifest. A repair that is stopped leaves an image with fewer damaged parts.
public struct Repair: Sendable {
    /// Parts of up to so many bytes are taken into memory whole.
    private static let wholePartLength: UInt64 = 16 << 20
    /// Zeros of so many bytes need not be written where there is nothing yet.
    private static let holeLength = 64 << 10
    /// How much is copied at once, in bytes.
    private static let stepLength: UInt64 = 1 << 20
    /// The least that two images have in common if one is the other, damaged; in bytes.
    private static let commonLength: UInt64 = 4096

    private let manifest: Manifest
    private let work: WorkOptions

    public init(manifest: Manifest, work: WorkOptions = .init()) {
        self.manifest = manifest
        self.work = work
    }

    /// - Parameters:
    ///   - parts: those that a verification found damaged.
    ///   - image: the damaged image, for reading: the file that is opened.
    ///   - references: what opens the others of an image of several.
    ///   - target: opens the same files for writing, by their index in the manifest; asked once, and only for those that have
    ///     something to be written. It makes one that is missing.
    ///   - spool: takes what is made anew, before it is known to be right.
    /// - Throws: `mismatch` where the image has nothing in common with what it should be, and so is another;
    ///   what the target and the spool throw; `cancelled`. What is wrong with a donor is a note.
    public func run(
        _ parts: [DamagedPart], of image: any ImageSource, _ references: any ReferencedFiles = NoReferencedFiles(),
        from donors: [RepairDonor], into target: (Int) throws(ImageError) -> any ImageSink,
        by spool: () throws(ImageError) -> any ImageSpool
    ) throws(ImageError) -> RepairReport {
        let files = try ListedFileSet(manifest, first: image, references)
        var run = RepairRun(parts, of: files, isInDoubt: isAnother(files, damaged: parts))
        for donor in donors where !run.missing.isEmpty {
            do throws(ImageError) {
                let copy = try ListedFileSet(manifest, first: donor.source, donor.references, isOptional: true)
                    .holding(manifest)
                if run.isInDoubt { try requireLikeness(of: files, to: copy, in: run.missing) }
                try mend(&run, from: copy, named: nil, target)
                guard !run.missing.isEmpty else { continue }
                let made = try makeAnew(run.missing, of: donor, into: try spool())
                if run.isInDoubt { try requireLikeness(of: files, to: made, in: run.missing) }
                let before = run.missing.count
                try mend(&run, from: made, named: donor.source.name, target)
                if run.missing.count == before { run.report.notes.append(encoderNote(donor)) }
            } catch {
                if error.code == .cancelled || error.code == .mismatch { throw error }
                run.report.notes.append("\(error.naming(donor.source.name))")
            }
        }
        run.report.remaining = run.missing.map(\.index)
        // While anything is missing, nobody can say that what stands behind the end of a file is worth nothing.
        guard run.missing.isEmpty else { return run.report }
        for (index, length) in manifest.fileLengths.enumerated() {
            if run.sinks[index] != nil || files.sources[index]?.length != length {
                try run.sink(index, target).finish(length: length)
            }
        }
        return run.report
    }

    /// Whether no part is right, zeros aside, which any two sparse disks have in common: the manifest may be another image's.
    private func isAnother(_ files: ListedFileSet, damaged parts: [DamagedPart]) -> Bool {
        guard files.sources.contains(where: { ($0?.length ?? 0) > 0 }) else { return false }
        let damaged = Set(parts.map(\.index))
        return zip(manifest.parts.crc64ecma, manifest.partPlaces).enumerated().allSatisfy { index, part in
            damaged.contains(index) || part.0 == CRC64Sum().checksum(length: part.1.range.length)
        }
    }

    /// Refuses to write over an image that has not one block, zeros aside, of what it should have.
    private func requireLikeness(of image: ListedFileSet, to right: ListedFileSet, in parts: [DamagedPart])
        throws(ImageError)
    {
        var isComparable = false
        for part in parts {
            guard let source = right.sources[part.fileIndex], let found = image.sources[part.fileIndex],
                try checksum(of: part.file, in: source) == part.expected
            else { continue }
            var offset = part.file.start
            while offset.bytes + Self.commonLength <= min(found.length, part.file.end.bytes) {
                let block = FileRange(start: offset, length: Self.commonLength)
                let expected = try source.read(block)
                if !expected.isZero {
                    isComparable = true
                    if try found.read(block) == expected { return }
                }
                offset = block.end
            }
        }
        guard isComparable else { return }
        throw ImageError(
            .mismatch,
            "this image has nothing in common with that of the manifest, and would be lost; name the right manifest, or "
                + "make the image anew with 'lathe convert'", path: image.sources[0]?.name)
    }

    /// Takes every part that `right` has whole.
    ///
    /// - Parameter name: what the parts come from; nil for the file that has them.
    private func mend(
        _ run: inout RepairRun, from right: ListedFileSet, named name: String?,
        _ target: (Int) throws(ImageError) -> any ImageSink
    ) throws(ImageError) {
        var left: [DamagedPart] = []
        for part in run.missing {
            try work.requireGoingOn()
            guard let source = right.sources[part.fileIndex] else {
                left.append(part)
                continue
            }
            if part.file.length <= Self.wholePartLength {
                // A donor may be far away: it is read once.
                let bytes = try source.read(part.file)
                guard CRC64.checksum(bytes.span) == part.expected else {
                    left.append(part)
                    continue
                }
                try write(bytes.span, at: part.file.start, of: part, run.sink(part.fileIndex, target), run)
                run.report.repaired[part.index] = name ?? source.name
                continue
            }
            guard try checksum(of: part.file, in: source) == part.expected else {
                left.append(part)
                continue
            }
            let sink = try run.sink(part.fileIndex, target)
            let written = try checksum(of: part.file, in: source) { (bytes, place) throws(ImageError) in
                try write(bytes, at: place, of: part, sink, run)
            }
            guard written == part.expected else {
                throw ImageError(.sourceChanged, "the donor changed while it was read", path: source.name)
            }
            run.report.repaired[part.index] = name ?? source.name
        }
        run.missing = left
    }

    /// Writes what a part has from an offset on; zeros behind the end of the file become a hole of it.
    private func write(
        _ bytes: Span<UInt8>, at offset: FileOffset, of part: DamagedPart, _ sink: any ImageSink, _ run: RepairRun
    ) throws(ImageError) {
        guard part.file.start.bytes >= run.lengths[part.fileIndex] else {
            return try sink.write(data: bytes, at: offset)
        }
        for start in stride(from: 0, to: bytes.count, by: Self.holeLength) {
            let piece = bytes.extracting(start..<min(start + Self.holeLength, bytes.count))
            if !ZeroDetector.isZero(piece) { try sink.write(data: piece, at: offset + UInt64(start)) }
        }
    }

    /// CRC-64/XZ of a file range, whose bytes are shown to `body` on the way.
    private func checksum(
        of range: FileRange, in source: any ImageSource,
        _ body: (Span<UInt8>, FileOffset) throws(ImageError) -> Void = { (_, _) throws(ImageError) in }
    ) throws(ImageError) -> UInt64 {
        var buffer = [UInt8](repeating: 0, count: Int(min(Self.stepLength, range.length)))
        var sum = CRC64Sum()
        var done: UInt64 = 0
        while done < range.length {
            let step = FileRange(start: range.start + done, length: min(Self.stepLength, range.length - done))
            try source.read(step, into: &buffer, at: 0)
            let bytes = buffer.span.extracting(0..<Int(step.length))
            done += step.length
            sum.add(CRC64Sum.remainder(bytes), endingAt: done)
            try body(bytes, step.start)
        }
        return sum.checksum(length: range.length)
    }

    /// Converts the donor's disk as the manifest says, and keeps of it what is missing.
    ///
    /// - Returns: the files that were made; in them is what is missing, and nothing else.
    private func makeAnew(_ missing: [DamagedPart], of donor: RepairDonor, into spool: any ImageSpool)
        throws(ImageError) -> ListedFileSet
    {
        let format: ImageFormat
        if let named = donor.format {
            format = named
        } else {
            format = try FormatDetection.detect(donor.source, name: donor.source.name)
        }
        let image = try DiskImage(donor.source, format: format, references: donor.references)
        // Only a raw file ends where its source did, be it inside a sector.
        let isRaw = manifest.format == .raw || manifest.format.packaging != nil
        let found = isRaw ? image.reader.contentLength : image.virtualSize
        let expected =
            isRaw ? manifest.sourceLength : manifest.sourceLength.dividedRoundingUp(by: sectorSize) * sectorSize
        guard found == expected else {
            throw ImageError(
                .unsupported,
                "this disk has \(found) bytes, expected \(expected); it is neither another copy nor the same disk",
                path: donor.source.name)
        }
        let conversion = try manifest.conversion(of: image, work: work)
        let starts = try conversion.makeEncoder().files.map(\.range.start)
        guard starts.count == manifest.files.count else {
            throw ImageError(.corrupt, "its options make \(starts.count) files, and it lists \(manifest.files.count)")
        }
        let wanted = missing.map { part in
            let start = starts.isEmpty ? FileOffset(0) : starts[part.fileIndex]
            return FileRange(start: start + part.file.start.bytes, length: part.file.length)
        }
        let result = try conversion.run(into: JoinedFilesSink(RangeFilter(spool, letting: wanted)))
        guard result.fingerprint == manifest.content.crc64ecma else {
            let found = result.fingerprint.map { String($0) } ?? "unknown"
            throw ImageError(
                .verificationFailed,
                "this disk has fingerprint \(found), expected \(manifest.content.crc64ecma): its content is "
                    + "another", path: donor.source.name)
        }
        let made = try spool.spooled()
        return ListedFileSet(starts.isEmpty ? [made] : try conversion.files(of: result, in: made))
    }

    private func encoderNote(_ donor: RepairDonor) -> String {
        let made = manifest.encoder.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        return
            "\(donor.source.name): it has the right content, but this Lathe \(LatheVersion.current) makes other bytes of it "
            + "than what made the image (\(made))"
    }
}

/// What a repair has done so far.
private struct RepairRun {
    var report = RepairReport()
    /// In the order of the manifest.
    var missing: [DamagedPart]
    /// Whether the image may be another than that of the manifest.
    let isInDoubt: Bool
    /// Of the files as they were found, in bytes.
    let lengths: [UInt64]
    /// Files that are open for writing, by their index.
    private(set) var sinks: [Int: any ImageSink] = [:]

    init(_ parts: [DamagedPart], of files: ListedFileSet, isInDoubt: Bool) {
        missing = parts
        lengths = files.sources.map { $0?.length ?? 0 }
        self.isInDoubt = isInDoubt
    }

    mutating func sink(_ index: Int, _ open: (Int) throws(ImageError) -> any ImageSink) throws(ImageError)
        -> any ImageSink
    {
        if let sink = sinks[index] { return sink }
        let sink = try open(index)
        sinks[index] = sink
        return sink
    }
}

extension ListedFileSet {
    /// Those files that have the length that the manifest says.
    fileprivate func holding(_ manifest: Manifest) -> ListedFileSet {
        ListedFileSet(
            zip(sources, manifest.fileLengths).map { source, length in source?.length == length ? source : nil })
    }
}
