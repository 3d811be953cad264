internal import ImageModel

/// Bounds on numbers that an image says: more is refused, whatever else may be right.
///
/// All of them stand here, by format, under the names that their sources give them. What is derived from a format's own arithmetic,
/// such as how far 32 bits of sectors reach, stands with the format. `docs/hostile-images.md` says what each keeps out.
public enum ImageLimits {
    /// A disk, in bytes: what offsets of files hold on every system (`off_t`).
    public static let virtualSize = UInt64(Int64.max)
    /// A raw file, in bytes: the whole sectors of the largest disk.
    public static let rawLength = virtualSize / sectorSize * sectorSize
    /// Images in a chain of backing files or parents.
    ///
    /// Each takes a descriptor, of which a process of Linux has 1024 unless it may have more, and a step deeper into the stack of the
    /// thread that maps a range; where descriptors run out before, the system's error names the file.
    public static let chainDepth = 1024
    /// A compressed unit when it is inflated, in bytes: four times the largest cluster of qcow2, and each thread needs as much.
    public static let inflatedUnitLength: UInt64 = 8 << 20
    /// Slots that a checker keeps a bit for at once, 32 MiB of them: blocks of a vdi, grains of a vmdk.
    static let markedSlots: UInt64 = 256 << 20

    public enum QCOW2 {
        /// `cluster_bits`: QEMU's `MIN_CLUSTER_BITS` and `MAX_CLUSTER_BITS`, 512 bytes to 2 MiB.
        static let clusterBits: ClosedRange<UInt32> = 9...21
        /// `refcount_order`: refcounts of 1 to 64 bits.
        static let refcountOrder: UInt32 = 6
        /// An L1 table, in bytes: QEMU's `QCOW_MAX_L1_SIZE`.
        static let l1TableLength: UInt64 = 32 << 20
        /// The refcount table, in bytes: QEMU's `QCOW_MAX_REFTABLE_SIZE`.
        static let refcountTableLength: UInt64 = 8 << 20
        /// QEMU's `QCOW_MAX_SNAPSHOTS`.
        static let snapshotCount: UInt64 = 65536
        /// Extra data of an entry of the snapshot table, in bytes: QEMU's `QCOW_MAX_SNAPSHOT_EXTRA_DATA`.
        static let snapshotExtraLength: UInt64 = 1024
        /// The snapshot table, in bytes: QEMU's `QCOW_MAX_SNAPSHOTS_SIZE`.
        static let snapshotTableLength: UInt64 = 64 << 20
        /// Names of snapshots that an error tells.
        static let toldSnapshots = 20
        /// The name of a backing file, in bytes, as the specification has it.
        static let backingFileNameLength: UInt64 = 1023
        /// The name of the format of a backing file, in bytes: QEMU holds 15 and a zero.
        static let formatNameLength: UInt64 = 15
        /// QEMU's `QCOW2_MAX_BITMAPS`.
        static let bitmapCount: UInt32 = 65535
        /// What stands in one piece, in bytes: the table of QEMU's largest bitmap (`BME_MAX_TABLE_SIZE`).
        static let regionLength: UInt64 = 1 << 30
        /// L2 tables, windows of clusters and regions that a check remembers, of each.
        static let recordCount = 4 << 20
        /// Table entries that a check looks at before it gives up: no image of a real disk comes near it, but tables that are shared
        /// a million times over could keep a checker busy for years.
        static let checkedEntries: UInt64 = 1 << 33
    }

    public enum VHD {
        /// `Block Size`, in bytes: 4 KiB is the least that fills a byte of the bitmap; no writer is known to go below 512 KiB or above
        /// 2 MiB.
        static let blockSize: ClosedRange<UInt64> = 4 << 10...256 << 20
        /// `Max Table Entries`: enough for the largest disk in blocks of 512 KiB.
        static let tableEntries: UInt64 = 4 << 20
    }

    public enum VDI {
        /// `cbBlock`, in bytes: what VirtualBox opens.
        static let blockSize: ClosedRange<UInt64> = 128 << 10...128 << 20
        /// `cBlocks`: QEMU's `VDI_BLOCKS_IN_IMAGE_MAX`, by which a map stays below 2 GiB.
        static let blockCount: UInt64 = 0x1FFF_FF80
    }

    public enum VMDK {
        /// The text of a descriptor, in bytes: as much as QEMU reads.
        static let descriptorLength: UInt64 = 1 << 20
        /// Lines of a descriptor; what programs write has some 20, and one for each extent.
        static let descriptorLines = 8192
        /// Extents: 8 TiB in pieces of 2 GiB.
        ///
        /// As many files may be open for one disk.
        public static let extents = 4096
        /// The size of an seSparse extent, in sectors: 64 TiB, the most that ESXi makes.
        static let seSparseCapacity: UInt64 = 1 << 37
        /// Empty grain tables that are remembered while one range is mapped, so that naming one again costs no reading.
        static let emptyTables = 4096
        /// Grain tables that a checker reads out of the order of their directory: those of 2 TiB of disk.
        static let unorderedTables = 65_536
        /// How far before the end of a stream its footer is looked for, in bytes, behind which only zeros may be.
        static let footerSearch: UInt64 = 64 << 10
    }
}
