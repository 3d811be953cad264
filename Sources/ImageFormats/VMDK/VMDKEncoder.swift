public import ImageModel

/// Lays out a VMDK: of one file, `monolithicSparse`, which programs write to, or `streamOptimized`, which is compressed and
/// is what an OVA holds and ESXi imports; or a descriptor and extents that are files of their own.
///
/// Options: `subformat`, `adapter_type`, `hwversion`, `align`, which rounds the size of the disk up, and, for streamOptimized,
/// `compression_level` (libdeflate's scale).
public struct VMDKEncoder: ImageEncoder {
    /// The grain of a new image, in sectors: 64 KiB.
    static let grainSize: UInt64 = 128
    /// The `compression_level` of a stream, where none is given.
    ///
    /// It is libdeflate's lowest level whose output is no larger than that of zlib's default, which QEMU writes: over the
    /// grains of a Debian file system, level 4 takes 1.1 % more bytes than that, level 5 takes 1.0 % less.
    static let defaultCompressionLevel = 5

    /// `align`: up to what the size of the disk can be rounded, in bytes.
    ///
    /// The capacity of a sparse extent is a multiple of its grain (VMware Virtual Disk Format 5.0, "Hosted Sparse Extent Header");
    /// readers take others, but what imports a stream may not.
    static let alignments: ClosedRange<UInt64> = 512...1 << 30

    /// The levels of a stream, all of libdeflate's that compress.
    static let compressionLevels = 1...12

    public let unitSize = grainSize * sectorSize
    public let storage: UnitStorage
    public let options: [String: String]
    public let writtenSize: UInt64?

    private let subformat: VMDKSubformat
    /// Of the source: what `align` adds is never stored.
    private let contentSectors: UInt64
    // The one that `subformat` names is used. They stand side by side, and not in an enum, to be changed in place.
    private var sparse: VMDKSparseEncoder
    private var stream: VMDKStreamEncoder
    private var flat: VMDKFlatEncoder?
    private var split: VMDKSplitEncoder?

    // A disk of no bytes is written as its metadata. QEMU takes a capacity of 0 for a mark of a descriptor file, and opens
    // no such disk, not even one that it made itself.

    /// - Throws: `limit-exceeded` for a disk of more grain tables than programs open; `invalid-option`.
    public init(parameters: EncoderParameters, options: FormatOptions) throws(ImageError) {
        var options = options
        let subformatName = try options.take("subformat", oneOf: VMDKSubformat.allCases.map(\.rawValue))
        let adapterName = try options.take("adapter_type", oneOf: VMDKAdapter.allCases.map(\.rawValue))
        subformat = VMDKSubformat(rawValue: subformatName) ?? .monolithicSparse
        // 4 is QEMU's; ESXi imports a stream of 7 or more, and 8 is what VMware writes into one of version 3.
        let hardwareVersion = try options.take(
            "hwversion", in: 1...999, default: subformat == .streamOptimized ? 8 : 4)
        let level = try options.take("compression_level", in: Self.compressionLevels, default: 0)
        if subformat != .streamOptimized, level != 0 {
            throw ImageError(
                .invalidOption,
                "option compression_level needs subformat=streamOptimized; \(subformat.rawValue) is not compressed")
        }
        let alignment = try options.take("align", powerOfTwoIn: Self.alignments) ?? sectorSize
        try options.requireAllTaken(by: .vmdk)
        let settledLevel = level == 0 ? Self.defaultCompressionLevel : level
        options.settle("compression_level", as: subformat == .streamOptimized ? String(settledLevel) : nil)
        self.options = options.settled

        let virtualSize = parameters.virtualSize.dividedRoundingUp(by: alignment) * alignment
        writtenSize = virtualSize > parameters.virtualSize ? virtualSize : nil
        let capacity = virtualSize / sectorSize
        contentSectors = parameters.virtualSize.dividedRoundingUp(by: sectorSize)
        let tableSectors = Self.grainSize * VMDKTables.standardEntriesPerTable
        guard capacity.dividedRoundingUp(by: tableSectors) <= VMDKTables.maximumTableCount else {
            throw ImageError(
                .limitExceeded,
                "a disk of \(virtualSize) bytes is too large for vmdk, which holds at most "
                    + "\(VMDKTables.maximumTableCount * tableSectors * sectorSize) bytes; convert to qcow2 or raw")
        }
        let set: VMDKFileSet? =
            if subformat.isSeveralFiles {
                try VMDKFileSet(subformat, capacity: capacity, name: parameters.fileName)
            } else {
                nil
            }
        let plan = VMDKDescriptorPlan(
            subformat: subformat, adapter: VMDKAdapter(rawValue: adapterName) ?? .ide, hardwareVersion: hardwareVersion,
            capacity: capacity, files: set)
        if let set, subformat == .twoGbMaxExtentSparse { split = VMDKSplitEncoder(plan, set) }
        if let set, subformat != .twoGbMaxExtentSparse { flat = VMDKFlatEncoder(plan, set) }
        sparse = VMDKSparseEncoder(plan)
        stream = VMDKStreamEncoder(plan, identity: parameters.identity)
        storage =
            switch subformat {
            case .streamOptimized: .compressed(UnitCompression(.zlib, by: .libdeflate, level: settledLevel))
            case .monolithicSparse, .monolithicFlat, .twoGbMaxExtentSparse, .twoGbMaxExtentFlat: .plain
            }
    }

    public mutating func place(unit: UInt64, storedLength: UInt64, metadata: inout [MetadataSegment])
        throws(ImageError) -> FileOffset
    {
        if subformat == .streamOptimized {
            return try stream.place(grain: unit, storedLength: storedLength, metadata: &metadata)
        }
        if let offset = try split?.place(grain: unit, metadata: &metadata) { return offset }
        if let offset = flat?.place(grain: unit) { return offset }
        return try sparse.place(grain: unit, metadata: &metadata)
    }

    /// A stream of a disk whose fingerprint is known is written from its start to its end, as its name says.
    public var goesForward: Bool { subformat == .streamOptimized && stream.goesForward }

    public var unsettled: [FileRange] {
        if subformat == .streamOptimized { return stream.unsettled }
        return split?.unsettled ?? flat?.unsettled ?? sparse.unsettled
    }

    public var files: [MemberFile] { split?.files ?? flat?.files ?? [] }

    public func greatestLength() throws(ImageError) -> UInt64 {
        if subformat == .streamOptimized {
            return try stream.greatestLength(
                storedLength: storage.greatestLength(ofUnit: unitSize), content: contentSectors)
        }
        if let length = try split?.greatestLength(content: contentSectors) { return length }
        if let flat { return flat.greatestLength() }
        return try sparse.greatestLength(content: contentSectors)
    }

    public mutating func finish(content: ContentIdentity, metadata: inout [MetadataSegment]) throws(ImageError)
        -> UInt64
    {
        if subformat == .streamOptimized { return try stream.finish(content: content, metadata: &metadata) }
        if let length = try split?.finish(content: content, metadata: &metadata) { return length }
        if let length = flat?.finish(content: content, metadata: &metadata) { return length }
        return try sparse.finish(content: content, metadata: &metadata)
    }

    /// The error for a file that grain tables can't address.
    static func fileTooLarge(hint: String) -> ImageError {
        ImageError(
            .limitExceeded,
            "the vmdk would be longer than the \(VMDKTables.maximumFileSectors * sectorSize) bytes that its 32-bit sector "
                + "numbers reach; \(hint)")
    }
}

/// The grain table that is being filled: grains come in ascending order, so one at a time is enough.
struct VMDKOpenTable: Sendable {
    /// Which table of the disk.
    private(set) var index: UInt64
    /// As far as any is set; what follows is zero and need not be written.
    private var entries: [UInt32] = []

    init(index: UInt64) { self.index = index }

    /// Sets the entry of a grain of this table.
    mutating func set(grain: UInt64, toSector sector: UInt64) {
        let place = Int(grain % VMDKTables.standardEntriesPerTable)
        precondition(place >= entries.count, "grains are placed in ascending order")
        while entries.count < place { entries.append(0) }
        entries.append(ByteOrder.little.stored(UInt32(truncatingIfNeeded: sector)))
    }

    /// The table as it is stored.
    var bytes: [UInt8] { entries.storedBytes }
}
