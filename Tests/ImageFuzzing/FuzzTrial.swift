import ImageCodecs
public import ImageFormats
public import ImageModel
import LatheTestSupport

/// Takes one image through everything that Lathe does with the bytes of a stranger: detection, header, check, repair, and reading
/// with and without the files that it names.
///
/// An error is as good as an answer. What must not be: a trap, a hang, memory that follows a number in the image, or an answer
/// that breaks what readers and repairers promise.
public struct FuzzTrial: ~Copyable {
    /// Mappings that are asked for of a disk.
    private static let mostExtents = 20_000
    /// Compressed units that are inflated of a disk.
    private static let mostUnits = 8
    /// Steps of a repair that are looked at.
    private static let mostSteps = 20_000

    private let decompressor: Decompressor
    private var buffer: [UInt8] = []

    public init() throws(ImageError) { decompressor = try Decompressor() }

    /// - Parameter longest: where a longer file is cut, in bytes.
    /// - Returns: what was promised and not kept; nil where nothing was.
    public mutating func run(
        _ input: FuzzInput, as format: ImageFormat, upTo longest: UInt64 = FuzzInput.longestFile
    ) -> String? {
        let memory = input.file(upTo: longest)
        let file = WatchedFile(memory)
        _ = try? FormatDetection.detect(file, name: "disk")
        var violation = header(file, format)
        let report = FormatCatalog.check(file, as: format)
        violation = violation ?? Self.violation(of: report) ?? file.violation
        for scope in RepairScope.allCases {
            violation = violation ?? repair(memory, file, report, scope, format)
        }
        for references in Self.references(input, memory) {
            for snapshot in [nil, SnapshotSelection(parsing: "1")] {
                violation = violation ?? read(file, references, snapshot, format)
            }
        }
        return violation ?? file.violation
    }

    private static func references(_ input: FuzzInput, _ memory: SparseMemory) -> [any ReferencedFiles] {
        switch input.reference {
        case .nothing: return [NoReferencedFiles()]
        case .theImageItself: return [OneReferencedFile(file: memory)]
        case .aRawDisk:
            return [OneReferencedFile(file: SparseMemory([UInt8](repeating: 0x5A, count: 70_000), name: "other"))]
        case .anEmptyFile: return [OneReferencedFile(file: SparseMemory(name: "empty"))]
        }
    }

    // MARK: - Header and check

    private func header(_ file: WatchedFile, _ format: ImageFormat) -> String? {
        guard let header = try? FormatCatalog.header(of: file, as: format) else { return nil }
        guard header.virtualSize % sectorSize == 0, header.contentLength <= header.virtualSize else {
            return "a disk of \(header.virtualSize) bytes with \(header.contentLength) of content"
        }
        for detail in header.details {
            if case .text(let text) = detail.value, text.utf8.count > 16 << 10 {
                return "\(text.utf8.count) bytes of \(detail.key)"
            }
        }
        return nil
    }

    private static func violation(of report: CheckReport) -> String? {
        if report.findings.count > CheckReport.keptFindings { return "\(report.findings.count) findings are kept" }
        for finding in report.findings where finding.message.utf8.count > 4096 {
            return "a finding of \(finding.message.utf8.count) bytes"
        }
        return nil
    }

    // MARK: - Repair

    /// Makes the repair in memory: what a plan writes must lie within the file that it says, and none of it twice.
    private func repair(
        _ memory: SparseMemory, _ file: WatchedFile, _ report: CheckReport, _ scope: RepairScope,
        _ format: ImageFormat
    ) -> String? {
        guard let plan = try? FormatCatalog.repairPlan(for: file, as: format, report, scope: scope)
        else { return nil }
        guard plan.length >= file.length else { return "a repair makes the file shorter" }
        var repaired = memory
        var written: [Range<UInt64>] = []
        do throws(ImageError) {
            try plan.forEachStep { (step) throws(ImageError) in
                guard case .write(let segment) = step else { return }
                written.append(segment.offset.bytes..<segment.offset.bytes + segment.length)
                guard written.count < Self.mostSteps else { throw ImageError(.cancelled, "enough") }
                try repaired.write(segment)
            }
        } catch {
            return nil
        }
        written.sort { $0.lowerBound < $1.lowerBound }
        for (first, second) in zip(written, written.dropFirst()) where first.overlaps(second) {
            return "a repair writes bytes \(second) twice"
        }
        if let end = written.map(\.upperBound).max(), end > plan.length { return "a repair writes past its length" }
        repaired.truncate(to: max(repaired.length, plan.length))
        let after = FormatCatalog.check(WatchedFile(repaired), as: format)
        if after.corruptions > report.corruptions, after.incomplete == nil {
            return "a repair made \(report.corruptions) corruptions \(after.corruptions)"
        }
        return nil
    }

    // MARK: - Content

    private mutating func read(
        _ file: WatchedFile, _ references: any ReferencedFiles, _ snapshot: SnapshotSelection?, _ format: ImageFormat
    ) -> String? {
        guard let opened = try? FormatCatalog.open(file, as: format, references, snapshot: snapshot) else { return nil }
        let (reader, source) = (opened.reader, opened.source)
        var position: UInt64 = 0
        var extents = 0
        var units = 0
        while position < reader.virtualSize, extents < Self.mostExtents {
            let range = GuestRange(position, length: reader.virtualSize - position)
            guard let answer = try? reader.extents(in: range, atMost: 500, from: source) else { return nil }
            guard !answer.isEmpty, answer.count <= 500 else { return "\(answer.count) extents of 500" }
            for extent in answer {
                guard extent.range.start.bytes == position, !extent.range.isEmpty,
                    extent.range.end.bytes <= reader.virtualSize
                else { return "the extent \(extent) at \(position) of \(reader.virtualSize)" }
                position = extent.range.end.bytes
                switch extent.mapping {
                case .zero, .hole: break
                case .raw(let offset):
                    let stored = FileRange(start: offset, length: extent.range.length)
                    let isContent = position <= reader.contentLength
                    guard !isContent || (try? source.requireHeld(stored)) != nil else {
                        return "the extent \(extent) is not in the file"
                    }
                case .compressed(let unit):
                    units += 1
                    guard units <= Self.mostUnits else { continue }
                    if let violation = inflate(unit, from: source) { return violation }
                }
            }
            extents += answer.count
        }
        return nil
    }

    private mutating func inflate(_ unit: CompressedUnit, from source: any ImageSource) -> String? {
        // The pipeline refuses longer ones before it allocates.
        guard unit.content.length <= 8 << 20 else { return nil }
        let length = Int(unit.content.length)
        if buffer.count < length { buffer = [UInt8](repeating: 0, count: length) }
        let produced = try? source.withBytes(of: unit.stored) { (bytes) throws(ImageError) in
            decompressor.decompress(bytes, method: unit.method, into: &buffer, 0..<length)
        }
        if let produced, produced > length { return "\(produced) bytes of \(length) inflated" }
        return nil
    }
}
