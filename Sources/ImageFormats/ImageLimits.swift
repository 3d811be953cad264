/// Bounds on numbers that an image says: more is refused, whatever else may be right.
public enum ImageLimits {
    /// Images in a chain of backing files or parents; longer ones are not made, and each costs a look at its tables.
    public static let chainDepth = 64
    /// Names of snapshots that an error tells.
    static let toldSnapshots = 20
    /// Extra data of an entry of a qcow2 snapshot table, in bytes: QEMU's `QCOW_MAX_SNAPSHOT_EXTRA_DATA`.
    static let snapshotExtraLength: UInt64 = 1024
    /// A qcow2 snapshot table, in bytes: QEMU's `QCOW_MAX_SNAPSHOTS_SIZE`.
    static let snapshotTableLength: UInt64 = 64 << 20
    /// The name of the format of a qcow2 backing file, in bytes: QEMU holds 15 and a zero.
    static let formatNameLength: UInt64 = 15
}
