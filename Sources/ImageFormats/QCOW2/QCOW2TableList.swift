import ImageModel

extension QCOW2Survey {
    /// The entry of the active L1 table that points at an L2 table.
    struct ActiveEntry: Sendable {
        var l1Index: UInt64
        var isCopied: Bool

        /// The entry as it stands there, but for reserved bits.
        func entry(of table: L2Table) -> UInt64 { table.offset | (isCopied ? QCOW2Tables.copiedFlag : 0) }
    }

    /// An L2 table that is within the file; 24 bytes, since an L1 table can name four million.
    struct L2Table: Sendable {
        private static let activeFlag: UInt64 = 1
        private static let copiedFlag: UInt64 = 2

        /// The offset, whose low bits are clear, with the flags in them.
        private var place: UInt64
        /// Meaningful with the flag; an L1 table has at most 2^22 entries.
        private var l1Index: UInt32 = 0
        /// How many L1 entries point at it, those of snapshots included.
        var references: UInt32 = 1
        /// The windows that its entries touch are within these; nothing where both are the same.
        private var windows: (first: UInt32, end: UInt32) = (0, 0)

        init(offset: UInt64, active: ActiveEntry?) {
            place = offset
            guard let active else { return }
            place |= Self.activeFlag | (active.isCopied ? Self.copiedFlag : 0)
            l1Index = UInt32(truncatingIfNeeded: active.l1Index)
        }

        var offset: UInt64 { place & QCOW2Tables.offsetMask }

        /// The first entry of the active L1 table that points at it.
        var active: ActiveEntry? {
            guard place & Self.activeFlag != 0 else { return nil }
            return ActiveEntry(l1Index: UInt64(l1Index), isCopied: place & Self.copiedFlag != 0)
        }

        /// Notes which clusters the entries touch.
        mutating func touch(_ clusters: Range<UInt64>) {
            guard let last = clusters.last else { return }
            windows = (
                UInt32(clamping: clusters.lowerBound / QCOW2Survey.windowCapacity),
                UInt32(clamping: last / QCOW2Survey.windowCapacity + 1)
            )
        }

        /// Whether its entries may touch clusters of a window.
        func touches(_ window: QCOW2RefcountWindow) -> Bool {
            let index = window.clusters.lowerBound / QCOW2Survey.windowCapacity
            return index >= UInt64(windows.first) && index < UInt64(windows.end)
        }

        /// Adds up two records of one table, whose first active entry stays.
        mutating func merge(_ other: Self) {
            references =
                references.addingReportingOverflow(other.references).overflow ? .max : references + other.references
            guard active == nil else {
                // One flag for all: where it may stand for none, it may not stand for any.
                if other.active != nil { place |= other.place & Self.copiedFlag }
                return
            }
            guard other.active != nil else { return }
            (place, l1Index) = (other.place, other.l1Index)
        }

        /// In the file's order; of one table's records those of the active disk first, in the disk's order.
        static func isBefore(_ left: Self, _ right: Self) -> Bool {
            guard left.offset == right.offset else { return left.offset < right.offset }
            return isBeforeOnDisk(left, right)
        }

        /// In the order of the disk; tables of snapshots alone come last, in the order of the file.
        static func isBeforeOnDisk(_ left: Self, _ right: Self) -> Bool {
            (left.active?.l1Index ?? .max, left.offset) < (right.active?.l1Index ?? .max, right.offset)
        }
    }
}

/// Gathers the L2 tables that L1 entries point at, and adds up those that several do.
struct QCOW2TableList: Sendable {
    private static let firstMerge = 64 << 10

    private(set) var tables: [QCOW2Survey.L2Table] = []
    /// How many records there may be before they are merged.
    private var mergeCount = firstMerge

    mutating func add(_ table: QCOW2Survey.L2Table) {
        tables.append(table)
        if tables.count >= mergeCount { merge() }
    }

    /// Makes one record of all those of a table.
    mutating func merge() {
        tables.sort(by: QCOW2Survey.L2Table.isBefore)
        var kept = 0
        for index in tables.indices {
            if kept > 0, tables[kept - 1].offset == tables[index].offset {
                tables[kept - 1].merge(tables[index])
            } else {
                tables[kept] = tables[index]
                kept += 1
            }
        }
        tables.removeLast(tables.count - kept)
        mergeCount = max(Self.firstMerge, min(2 * kept, ImageLimits.QCOW2.recordCount * 5 / 4))
    }

    /// Hands out the merged tables in the order of the disk, and keeps none.
    mutating func takeOnDiskOrder() -> [QCOW2Survey.L2Table] {
        var taken: [QCOW2Survey.L2Table] = []
        swap(&taken, &tables)
        taken.sort(by: QCOW2Survey.L2Table.isBeforeOnDisk)
        return taken
    }
}
