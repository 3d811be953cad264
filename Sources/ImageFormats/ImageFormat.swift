/// The formats that Lathe reads and writes.
public enum ImageFormat: String, CaseIterable, Hashable, Sendable {
    case raw, vhd, qcow2, vmdk, vdi
    /// A raw disk as the one file of a `.tar.gz`: what `raw` is written as with `package=tar.gz`.
    case rawPackage = "raw.tar.gz"
    /// A raw disk in a gzip file: what `raw` is written as with `package=gz`.
    case rawGzip = "raw.gz"
    /// A raw disk in a zstd file: what `raw` is written as with `package=zst`.
    case rawZstandard = "raw.zst"

    /// The format of a name as it is given on a command line; `vpc` is what QEMU calls vhd.
    public init?(name: String) {
        let lowered = name.lowercased()
        self.init(rawValue: lowered == "vpc" ? "vhd" : lowered)
    }
}
