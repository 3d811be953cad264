import ImageModel

/// Lays out a monolithicSparse disk, or a sparse extent, as VMware and QEMU do: header, descriptor, the redundant directory and its
/// tables, the directory and its tables, then the grains in the order in which they are placed.
struct VMDKSparseEncoder: Sendable {
    /// Sectors that the descriptor may grow to: programs rewrite it in place.
    static let descriptorSize: UInt64 = 20
    /// Sectors of a grain table.
    static let tableSize = VMDKTables.standardEntriesPerTable * VMDKTables.entryLength / sectorSize

    /// The descriptor; nil for an extent, which has it elsewhere.
    private let plan: VMDKDescriptorPlan?
    /// In sectors.
    private let capacity: UInt64
    private let tableCount: UInt64
    /// Where the two directories start and where the first grain stands, in sectors.
    private let redundantDirectory: UInt64
    private let directory: UInt64
    let overHead: UInt64
    /// Sectors of a directory.
    private let directorySize: UInt64
    private var open: VMDKOpenTable?
    /// Not private, so that a test need not place the millions that fill a file.
    var placedGrains: UInt64 = 0

    init(_ plan: VMDKDescriptorPlan) { self.init(plan, capacity: plan.capacity) }

    /// An extent without a descriptor.
    ///
    /// - Parameter capacity: in sectors.
    init(extentOf capacity: UInt64) { self.init(nil, capacity: capacity) }

    private init(_ plan: VMDKDescriptorPlan?, capacity: UInt64) {
        self.plan = plan
        self.capacity = capacity
        let grainSize = VMDKEncoder.grainSize
        tableCount = capacity.dividedRoundingUp(by: grainSize * VMDKTables.standardEntriesPerTable)
        directorySize = max(1, (tableCount * VMDKTables.entryLength).dividedRoundingUp(by: sectorSize))
        redundantDirectory = 1 + (plan == nil ? 0 : Self.descriptorSize)
        directory = redundantDirectory + directorySize + tableCount * Self.tableSize
        let end = directory + directorySize + tableCount * Self.tableSize
        overHead = end.dividedRoundingUp(by: grainSize) * grainSize
    }

    /// With all grains placed, in bytes.
    ///
    /// - Parameter content: how far the disk may hold anything, in sectors.
    func greatestLength(content: UInt64) throws(ImageError) -> UInt64 {
        let end = overHead + content.dividedRoundingUp(by: VMDKEncoder.grainSize) * VMDKEncoder.grainSize
        guard end <= VMDKTables.maximumFileSectors || end == overHead else { throw Self.tooLarge }
        return end * sectorSize
    }

    private static var tooLarge: ImageError {
        VMDKEncoder.fileTooLarge(hint: "convert to qcow2, or to subformat=streamOptimized, which is compressed")
    }

    mutating func place(grain: UInt64, metadata: inout [MetadataSegment]) throws(ImageError) -> FileOffset {
        let sector = overHead + placedGrains * VMDKEncoder.grainSize
        guard sector + VMDKEncoder.grainSize <= VMDKTables.maximumFileSectors else { throw Self.tooLarge }
        let table = grain / VMDKTables.standardEntriesPerTable
        if open?.index != table {
            handOutOpenTable(metadata: &metadata)
            open = VMDKOpenTable(index: table)
        }
        open?.set(grain: grain, toSector: sector)
        placedGrains += 1
        return FileOffset(sector * sectorSize)
    }

    /// Header, descriptor and both directories, the tables from the open one on in both copies, and all behind the last
    /// grain.
    var unsettled: [FileRange] {
        let settledTables = (open?.index ?? 0) * Self.tableSize
        let tablesSize = tableCount * Self.tableSize
        func sectors(_ start: UInt64, upTo end: UInt64) -> FileRange {
            FileRange(start * sectorSize, length: (end - start) * sectorSize)
        }
        let redundantTables = redundantDirectory + directorySize
        let tables = directory + directorySize
        return [
            sectors(0, upTo: redundantTables),
            sectors(redundantTables + settledTables, upTo: directory + directorySize),
            sectors(tables + settledTables, upTo: tables + tablesSize),
            FileRange(from: FileOffset((overHead + placedGrains * VMDKEncoder.grainSize) * sectorSize)),
        ]
    }

    mutating func finish(content: ContentIdentity, metadata: inout [MetadataSegment]) throws(ImageError) -> UInt64 {
        if let plan { metadata.append(MetadataSegment(at: FileOffset(sectorSize), plan.text(for: content))) }
        return try finish(metadata: &metadata)
    }

    /// Hands out the rest, but for the descriptor.
    mutating func finish(metadata: inout [MetadataSegment]) throws(ImageError) -> UInt64 {
        handOutOpenTable(metadata: &metadata)
        for start in [redundantDirectory, directory] {
            // Every table has its place, filled or not, as VMware has it: a program that writes needs to move nothing.
            let firstTable = UInt32(truncatingIfNeeded: start + directorySize)
            let step = UInt32(truncatingIfNeeded: Self.tableSize)
            metadata.append(
                MetadataSegment(
                    at: FileOffset(start * sectorSize), ascendingFrom: firstTable, by: step, count: tableCount))
        }
        let header = VMDKHeader(
            version: 1, flags: [.newlineTest, .redundantDirectory], capacity: capacity,
            grainSize: VMDKEncoder.grainSize, descriptorOffset: plan == nil ? 0 : 1,
            descriptorSize: plan == nil ? 0 : Self.descriptorSize,
            entriesPerTable: VMDKTables.standardEntriesPerTable, redundantDirectoryOffset: redundantDirectory,
            directoryOffset: directory, overHead: overHead, compressAlgorithm: 0)
        metadata.append(MetadataSegment(at: FileOffset(0), header.encoded()))
        return (overHead + placedGrains * VMDKEncoder.grainSize) * sectorSize
    }

    /// Hands out both copies of the table; a table without a grain is all zero and is never handed out.
    private mutating func handOutOpenTable(metadata: inout [MetadataSegment]) {
        guard let table = open else { return }
        for start in [redundantDirectory, directory] {
            let sector = start + directorySize + table.index * Self.tableSize
            metadata.append(MetadataSegment(at: FileOffset(sector * sectorSize), table.bytes))
        }
        open = nil
    }
}
