public import ImageModel

/// How far a repair goes, in the words of `qemu-img check -r`.
public enum RepairScope: String, CaseIterable, Hashable, Sendable {
    /// Space that nothing uses is given back.
    case leaks
    /// All that can be made right from what the image itself still says.
    case all
}

/// One step of a repair.
public enum RepairStep: Hashable, Sendable {
    /// These bytes go to their place in the file.
    case write(MetadataSegment)
    /// What was written before must be on the disk before anything else is.
    case barrier
}

/// What has to be written to a file, and in which order, so that its metadata is right.
///
/// A plan is a value and moves no byte: it reads what it needs of the source that it was made for, and hands out the steps.
/// Writes do not overlap, and none touches a byte that the guest reads. A file that got only the first so many of the writes is
/// no worse than it was.
public struct RepairPlan: Sendable {
    /// Of the file when all is written, in bytes; never less than before.
    public var length: UInt64
    /// What is done, a sentence each.
    public var actions: [String]
    private let generator: @Sendable ((RepairStep) throws(ImageError) -> Void) throws(ImageError) -> Void

    init(
        length: UInt64, actions: [String],
        _ generator: @escaping @Sendable ((RepairStep) throws(ImageError) -> Void) throws(ImageError) -> Void
    ) {
        self.length = length
        self.actions = actions
        self.generator = generator
    }

    init(length: UInt64, actions: [String], _ steps: [RepairStep]) {
        self.init(length: length, actions: actions) { (body) throws(ImageError) in
            for step in steps { try body(step) }
        }
    }

    /// Hands out the steps in order.
    ///
    /// - Throws: what the source throws; `unsupported` for what turns out not to fit the format; what `body` throws.
    public func forEachStep(_ body: (RepairStep) throws(ImageError) -> Void) throws(ImageError) { try generator(body) }
}

/// Says how an image of one format can be made right without a change of what the guest reads.
public protocol ImageRepairer {
    /// - Parameters:
    ///   - source: the image; it must not change while the plan is in use.
    ///   - report: what the checker found in it.
    /// - Returns: nil where nothing of what is wrong can be mended, or nothing is.
    /// - Throws: `corrupt` where mending one thing would give away another; what the source throws.
    static func plan(_ source: any ImageSource, _ report: CheckReport, scope: RepairScope) throws(ImageError)
        -> RepairPlan?

    /// Sees that two states of an image map the same guest bytes to the same places, by the tables alone.
    ///
    /// It goes where a fingerprint does not: into content that is in other files, encrypted, or of snapshots.
    ///
    /// - Throws: `verification-failed` where they do not.
    static func requireSameMapping(_ before: any ImageSource, _ after: any ImageSource) throws(ImageError)
}
