internal import ImageCodecs
public import ImageFormats
public import ImageModel

/// A file that damaged parts may be made whole from: another copy, or a disk of the same content in any format.
public struct RepairDonor: Sendable {
    public var source: any ImageSource
    /// nil where its content says it.
    public var format: ImageFormat?

    public init(_ source: any ImageSource, format: ImageFormat? = nil) {
        self.source = source
        self.format = format
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

/// Rewrites the damaged parts of an image file in place, and nothing else of it.
///
/// A part comes from another copy, where that has it whole, or is made anew: the encoder is deterministic, so a disk of the
/// same content and the options of the manifest give the same bytes. Either way nothing is written that does not have the
/// part's CRC-64 by the manifest. A repair that is stopped leaves an image with fewer damaged parts.
public struct Repair: Sendable {
    /// Parts of up to so many bytes are taken into memory whole.
    private static let wholePartLength: UInt64 = 16 << 20
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
    ///   - image: the damaged file, for reading.
    ///   - target: the same file.
    ///   - spool: takes what is made anew, before it is known to be right.
    /// - Throws: `mismatch` where the file has nothing in common with what it should be, and so is another image;
    ///   what the target and the spool throw; `cancelled`. What is wrong with a donor is a note.
    public func run(
        _ parts: [DamagedPart], of image: any ImageSource, from donors: [RepairDonor], into target: any ImageSink,
        by way: () throws(ImageError) -> any ImageSpool
    ) throws(ImageError) -> RepairReport {
        let isInDoubt = image.length > 0 && hasNoRightPart(damaged: parts)
        var report = RepairReport()
        var missing = parts
        for donor in donors where !missing.isEmpty {
            do throws(ImageError) {
                if donor.source.length == manifest.objectLength {
                    if isInDoubt { try requireLikeness(of: image, to: donor.source, in: missing) }
                    try mend(&missing, from: donor.source, named: donor.source.name, target, &report)
                }
                guard !missing.isEmpty else { continue }
                let spool = try way()
                try makeAnew(missing, of: donor, into: spool)
                let made = try spool.spooled()
                if isInDoubt { try requireLikeness(of: image, to: made, in: missing) }
                let before = missing.count
                try mend(&missing, from: made, named: donor.source.name, target, &report)
                if missing.count == before { report.notes.append(encoderNote(donor)) }
            } catch {
                if error.code == .cancelled || error.code == .mismatch { throw error }
                report.notes.append("\(error.naming(donor.source.name))")
            }
        }
        report.remaining = missing.map(\.index)
        // While anything is missing, nobody can say that what stands behind the object's end is worth nothing.
        if missing.isEmpty { try target.finish(length: manifest.objectLength) }
        return report
    }

    /// Whether no part is right, zeros aside, which any two sparse disks have in common: the manifest may be another image's.
    private func hasNoRightPart(damaged parts: [DamagedPart]) -> Bool {
        let damaged = Set(parts.map(\.index))
        return manifest.parts.crc64ecma.enumerated().allSatisfy { index, checksum in
            let range = manifest.parts.range(ofPart: index, objectLength: manifest.objectLength)
            return damaged.contains(index) || checksum == CRC64Sum().checksum(length: range.length)
        }
    }

    /// Refuses to write over a file that has not one block, zeros aside, of what it should have.
    private func requireLikeness(of image: any ImageSource, to source: any ImageSource, in parts: [DamagedPart])
        throws(ImageError)
    {
        var isComparable = false
        for part in parts where try checksum(of: part.file, in: source) == part.expected {
            var offset = part.file.start
            while offset.bytes + Self.commonLength <= min(image.length, part.file.end.bytes) {
                let block = FileRange(start: offset, length: Self.commonLength)
                let expected = try source.read(block)
                if !expected.isZero {
                    isComparable = true
                    if try image.read(block) == expected { return }
                }
                offset = block.end
            }
        }
        guard isComparable else { return }
        throw ImageError(
            .mismatch,
            "this file has nothing in common with the image of the manifest, and would be lost; name the right manifest, or "
                + "make the image anew with 'lathe convert'", path: image.name)
    }

    /// Takes every part that `source` has whole.
    private func mend(
        _ missing: inout [DamagedPart], from source: any ImageSource, named name: String, _ target: any ImageSink,
        _ report: inout RepairReport
    ) throws(ImageError) {
        var left: [DamagedPart] = []
        for part in missing {
            try work.requireGoingOn()
            if part.file.length <= Self.wholePartLength {
                // A donor may be far away: it is read once.
                let bytes = try source.read(part.file)
                guard CRC64.checksum(bytes.span) == part.expected else {
                    left.append(part)
                    continue
                }
                try target.write(data: bytes.span, at: part.file.start)
                report.repaired[part.index] = name
                continue
            }
            guard try checksum(of: part.file, in: source) == part.expected else {
                left.append(part)
                continue
            }
            let written = try checksum(of: part.file, in: source) { (bytes, place) throws(ImageError) in
                try target.write(data: bytes, at: place)
            }
            guard written == part.expected else {
                throw ImageError(.sourceChanged, "the donor changed while it was read", path: name)
            }
            report.repaired[part.index] = name
        }
        missing = left
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
    private func makeAnew(_ missing: [DamagedPart], of donor: RepairDonor, into spool: any ImageSpool)
        throws(ImageError)
    {
        let format: ImageFormat
        if let named = donor.format {
            format = named
        } else {
            format = try FormatDetection.detect(donor.source, name: donor.source.name)
        }
        let image = try DiskImage(donor.source, format: format)
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
        let sink = PartFilter(spool, parts: Set(missing.map { UInt64($0.index) }), partLength: manifest.parts.length)
        let result = try manifest.conversion(of: image, work: work).run(into: sink)
        guard result.fingerprint == manifest.content.crc64ecma else {
            let found = result.fingerprint.map { String($0) } ?? "unknown"
            throw ImageError(
                .verificationFailed,
                "this disk has fingerprint \(found), expected \(manifest.content.crc64ecma): its content is "
                    + "another", path: donor.source.name)
        }
    }

    private func encoderNote(_ donor: RepairDonor) -> String {
        let made = manifest.encoder.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        return
            "\(donor.source.name): it has the right content, but this Lathe \(LatheVersion.current) makes other bytes of it "
            + "than what made the image (\(made))"
    }
}

/// Lets through what falls into some parts of an object.
private struct PartFilter: ImageSink {
    let isSequential = false
    private let sink: any ImageSink
    private let parts: Set<UInt64>
    private let partLength: UInt64

    init(_ sink: any ImageSink, parts: Set<UInt64>, partLength: UInt64) {
        self.sink = sink
        self.parts = parts
        self.partLength = partLength
    }

    func write(data: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        var done = 0
        while done < data.count {
            let place = offset.bytes + UInt64(done)
            let part = place / partLength
            let count = Int(min(UInt64(data.count - done), (part + 1) * partLength - place))
            if parts.contains(part) {
                try sink.write(data: data.extracting(done..<done + count), at: FileOffset(place))
            }
            done += count
        }
    }

    func write(metadata: Span<UInt8>, at offset: FileOffset) throws(ImageError) {
        try write(data: metadata, at: offset)
    }

    func finish(length: UInt64) throws(ImageError) { try sink.finish(length: length) }
}
