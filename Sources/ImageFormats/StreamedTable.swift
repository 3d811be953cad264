import ImageModel

/// A table of fixed-width entries that are set in ascending order and handed out as they settle.
///
/// It holds one slice of the table, whatever the table's length; runs of free entries are handed out as a pattern.
struct StreamedTable: Sendable {
    /// The bytes that a slice covers, a multiple of every entry's width.
    private static let sliceLength: UInt64 = 64 << 10

    private let start: FileOffset
    private let entryCount: UInt64
    private let freeEntry: [UInt8]
    /// The first entry that has not been handed out; the slice begins there.
    private var settled: UInt64 = 0
    /// Entries from `settled` on, as far as any of them is set.
    private var slice: [UInt8] = []

    /// - Parameters:
    ///   - start: the file offset of entry 0.
    ///   - freeEntry: the bytes of an entry that is never set, which give the entry's width too.
    init(at start: FileOffset, entryCount: UInt64, freeEntry: [UInt8]) {
        self.start = start
        self.entryCount = entryCount
        self.freeEntry = freeEntry
    }

    private var width: UInt64 { UInt64(freeEntry.count) }

    /// Sets an entry; `index` is greater than in any call before, `entry` as wide as the free entry.
    mutating func set(_ index: UInt64, to entry: [UInt8], metadata: inout [MetadataSegment]) {
        precondition(index < entryCount && entry.count == freeEntry.count, "a table entry beyond the table")
        precondition(index >= settled + UInt64(slice.count) / width, "table entries are set in ascending order")
        if (index + 1 - settled) * width > Self.sliceLength { handOut(upTo: index, metadata: &metadata) }
        while settled + UInt64(slice.count) / width < index { slice += freeEntry }
        slice += entry
    }

    /// Hands out what is left, free entries at the end included.
    mutating func finish(metadata: inout [MetadataSegment]) { handOut(upTo: entryCount, metadata: &metadata) }

    /// Hands out the slice, then free entries up to `index`.
    private mutating func handOut(upTo index: UInt64, metadata: inout [MetadataSegment]) {
        if !slice.isEmpty {
            metadata.append(MetadataSegment(at: start + settled * width, slice))
            settled += UInt64(slice.count) / width
            slice = []
        }
        if settled < index {
            let free = MetadataSegment(at: start + settled * width, repeating: freeEntry, count: index - settled)
            metadata.append(free)
            settled = index
        }
    }
}
