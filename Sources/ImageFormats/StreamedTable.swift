import ImageModel

/// A table of integers that are set in ascending order and handed out as they settle.
///
/// It holds one slice of the table, whatever the table's length; runs of free entries are handed out as a pattern.
struct StreamedTable<Entry: FixedWidthInteger & UnsignedInteger & Sendable>: Sendable {
    /// The entries of a slice: 64 KiB of them.
    private static var sliceCount: UInt64 { 64 << 10 / width }
    private static var width: UInt64 { UInt64(Entry.bitWidth / 8) }

    private let start: FileOffset
    private let entryCount: UInt64
    private let order: ByteOrder
    /// An entry that is never set, as it is stored.
    private let freeEntry: Entry
    /// The first entry that has not been handed out; the slice begins there.
    private var settled: UInt64 = 0
    /// Entries from `settled` on, as far as any of them is set, as they are stored.
    private var slice: [Entry] = []

    /// - Parameters:
    ///   - start: the file offset of entry 0.
    ///   - freeEntry: what an entry holds that is never set.
    init(at start: FileOffset, entryCount: UInt64, freeEntry: Entry, order: ByteOrder) {
        self.start = start
        self.entryCount = entryCount
        self.order = order
        self.freeEntry = order.stored(freeEntry)
    }

    /// Sets an entry; `index` is greater than in any call before.
    mutating func set(_ index: UInt64, to entry: Entry, metadata: inout [MetadataSegment]) {
        precondition(index < entryCount, "a table entry beyond the table")
        precondition(index >= settled + UInt64(slice.count), "table entries are set in ascending order")
        if index - settled >= Self.sliceCount { handOut(upTo: index, metadata: &metadata) }
        while settled + UInt64(slice.count) < index { slice.append(freeEntry) }
        slice.append(order.stored(entry))
    }

    /// What of the table has not been handed out.
    var unsettled: FileRange {
        FileRange(start: start + settled * Self.width, length: (entryCount - settled) * Self.width)
    }

    /// Hands out what is left, free entries at the end included.
    mutating func finish(metadata: inout [MetadataSegment]) { handOut(upTo: entryCount, metadata: &metadata) }

    /// Hands out the slice, then free entries up to `index`.
    private mutating func handOut(upTo index: UInt64, metadata: inout [MetadataSegment]) {
        if !slice.isEmpty {
            metadata.append(MetadataSegment(at: start + settled * Self.width, slice.storedBytes))
            settled += UInt64(slice.count)
            slice.removeAll(keepingCapacity: true)
        }
        if settled < index {
            let pattern = [freeEntry].storedBytes
            metadata.append(
                MetadataSegment(at: start + settled * Self.width, repeating: pattern, count: index - settled))
            settled = index
        }
    }
}

/// Which byte of an integer comes first in a file.
enum ByteOrder: Sendable {
    case big, little

    /// An integer whose bytes in memory are those that the file has.
    func stored<Entry: FixedWidthInteger>(_ value: Entry) -> Entry {
        switch self {
        case .big: value.bigEndian
        case .little: value.littleEndian
        }
    }
}

extension Array where Element: FixedWidthInteger {
    /// The bytes of integers that are in the file's order already.
    var storedBytes: [UInt8] { unsafe withUnsafeBytes { unsafe [UInt8]($0) } }
}
