public import ImageFormats
public import ImageModel

/// Makes the metadata of an image right, from what the image itself says, without a change of what the guest reads.
///
/// All is proved before a byte of the file is touched: the writes are kept aside, and the image as it will be is checked, held
/// against the tables of the one that is there, and read from beginning to end.
public struct MetadataRepair: Sendable {
    private let source: any ImageSource
    private let format: ImageFormat
    private let scope: RepairScope
    private let work: WorkOptions

    public init(_ source: any ImageSource, format: ImageFormat, scope: RepairScope, work: WorkOptions = .init()) {
        self.source = source
        self.format = format
        self.scope = scope
        self.work = work
    }

    /// Checks the image, and prepares what can be mended.
    ///
    /// - Parameter way: makes the spool that takes the writes; called only where there are any.
    /// - Throws: `verification-failed` for a repair that would change the content, or make anything worse; what the source
    ///   and the spool throw; `cancelled`. What can't be mended is `refusal`.
    public func prepare(by way: () throws(ImageError) -> any ImageSpool) throws(ImageError) -> PreparedRepair {
        let before = FormatCatalog.check(source, as: format)
        try work.requireGoingOn()
        var prepared = PreparedRepair(source, format, before: before, work)
        do throws(ImageError) {
            guard
                let plan = try FormatCatalog.repairPlan(for: source, as: format, before, scope: scope)
            else { return prepared }
            let recorded = try RecordedRepair(plan, in: way())
            try prepared.take(recorded)
        } catch {
            switch error.code {
            case .corrupt, .unsupported, .limitExceeded, .truncated: prepared.refusal = error
            default: throw error
            }
        }
        return prepared
    }
}

/// A repair of which nothing has been written, and all is known.
public struct PreparedRepair: Sendable {
    /// What was found in the image.
    public let before: CheckReport
    /// What will be left of it.
    public private(set) var after: CheckReport
    /// Of the content, CRC-64/XZ, before as after; nil where it can't be read from this file alone.
    public private(set) var fingerprint: UInt64?
    /// Why nothing can be done, where something should be.
    public internal(set) var refusal: ImageError?

    private let source: any ImageSource
    private let format: ImageFormat
    private let work: WorkOptions
    private var recorded: RecordedRepair?

    init(_ source: any ImageSource, _ format: ImageFormat, before: CheckReport, _ work: WorkOptions) {
        self.before = before
        after = before
        self.source = source
        self.format = format
        self.work = work
    }

    /// What is done, a sentence each.
    public var actions: [String] { recorded?.actions ?? [] }
    /// Whether there is anything to write.
    public var hasChanges: Bool { recorded.map { !$0.isEmpty } ?? false }
    /// Of the findings, those that will be gone.
    public var fixedCorruptions: Int { max(0, before.corruptions - after.corruptions) }
    public var fixedLeaks: Int { max(0, before.leaks - after.leaks) }

    /// Proves that the image will be better, and no other disk.
    mutating func take(_ recorded: RecordedRepair) throws(ImageError) {
        let patched = recorded.patched(source)
        let after = FormatCatalog.check(patched, as: format)
        guard after.incomplete == nil, after.corruptions <= before.corruptions, after.leaks <= before.leaks else {
            let first = after.findings.first.map { ", such as: \($0.message)" } ?? ""
            throw ImageError(
                .verificationFailed,
                "the repair would leave \(after.corruptions) corruptions of \(before.corruptions) and \(after.leaks) leaks of "
                    + "\(before.leaks)\(first); nothing was written", path: source.name)
        }
        try FormatCatalog.requireSameMapping(source, patched, as: format)
        fingerprint = try content(of: source)
        try requireContent(of: patched)
        self.after = after
        self.recorded = recorded
    }

    /// The fingerprint of an image; nil where it can't be read, be it for want of another file or for damage.
    private func content(of source: any ImageSource) throws(ImageError) -> UInt64? {
        do throws(ImageError) {
            return try DiskImage(source, format: format).fingerprint(work)
        } catch {
            switch error.code {
            case .corrupt, .unsupported, .externalReference, .truncated, .limitExceeded: return nil
            default: throw error
            }
        }
    }

    private func requireContent(of image: any ImageSource) throws(ImageError) {
        guard let fingerprint else { return }
        let found = try content(of: image)
        guard found == fingerprint else {
            throw ImageError(
                .verificationFailed,
                "the repair would change what the guest reads: its fingerprint was \(fingerprint) and would be "
                    + "\(found.map(String.init) ?? "none"); nothing was written", path: image.name)
        }
    }

    /// Writes to the image itself; a stop in between leaves it no worse than it was.
    ///
    /// - Throws: `source-changed` where somebody else wrote to it meanwhile; what the target throws.
    public func apply(to target: any PatchSink) throws(ImageError) {
        guard let recorded else { return }
        try source.requireUnchanged()
        try work.requireGoingOn()
        work.cancellation?.disregard()
        try recorded.apply(to: target)
    }

    /// Makes a repaired copy: of what the source has stored, shared with it where the sink can.
    ///
    /// - Throws: `source-changed`; what source and sink throw; `cancelled`.
    public func copy(into sink: any ImageSink) throws(ImageError) {
        var copied: UInt64 = 0
        if case .blocks(let size) = sink.cloning(of: source) {
            let whole = source.length.roundedDown(toMultipleOf: size)
            if whole > 0, try sink.clone(FileRange(0, length: whole), of: source, to: FileOffset(0)) { copied = whole }
        }
        let end = FileOffset(source.length)
        while let data = try source.nextData(from: FileOffset(copied), limit: end) {
            copied = data.start.bytes
            while copied < data.end.bytes {
                try work.requireGoingOn()
                let part = FileRange(copied, length: min(RecordedRepair.stepLength, data.end.bytes - copied))
                let bytes = try source.read(part)
                if !bytes.isZero { try sink.write(data: bytes.span, at: part.start) }
                copied += part.length
            }
        }
        try source.requireUnchanged()
        try recorded?.write(into: sink)
        try sink.finish(length: recorded?.length ?? source.length)
    }

    /// Reads a result back: the check must find what it was to find, and the content must be the same.
    ///
    /// - Throws: `verification-failed`.
    public func prove(_ result: any ImageSource) throws(ImageError) {
        let found = FormatCatalog.check(result, as: format)
        guard found.incomplete == nil || after.incomplete != nil, found.corruptions == after.corruptions,
            found.leaks == after.leaks
        else {
            throw ImageError(
                .verificationFailed,
                "what was written does not read back as it should: \(found.corruptions) corruptions and \(found.leaks) leaks, "
                    + "expected \(after.corruptions) and \(after.leaks)", path: result.name)
        }
        try requireContent(of: result)
    }
}
