import ImageModel

/// What the options of a new qcow2 image come to: the header but for the places of tables, and how units are stored.
struct QCOW2Layout: Sendable {
    /// `cluster_bits` where no option says otherwise: 64 KiB.
    static let standardClusterBits: UInt32 = 16
    /// The level of zlib where none is given: the fast one.
    static let standardZlibLevel = 1
    /// The level of zstd where none is given: the one that QEMU takes, so that images are no larger than QEMU's.
    static let standardZstdLevel = 3
    /// What `compression_level` can be for zlib, which in qcow2 means bare deflate with a window of 4 KiB.
    static let zlibLevels = 1...9
    static let zstdLevels = 1...19
    /// `windowBits` of QEMU's inflater: copies may not reach back further.
    static let windowBits = 12
    /// `QCOW2Header.compressionType`.
    private static let compressionTypes: [String: UInt8] = ["zlib": 0, "zstd": 1]

    /// With neither tables nor an L1 table's place.
    let header: QCOW2Header
    /// nil where units are stored as they are.
    let compression: UnitCompression?
    /// Every option with what it came to.
    let settled: [String: String]

    /// - Throws: `invalid-option`, or `limit-exceeded` for a disk that needs a longer L1 table than QEMU opens.
    init(diskSize: UInt64, options: FormatOptions) throws(ImageError) {
        var options = options
        let version: UInt32 = try options.take("compat", oneOf: [["1.1", "v3"], ["0.10", "v2"]]) == "1.1" ? 3 : 2
        let clusterSize = try options.takeSize(
            "cluster_size", default: 1 << UInt64(Self.standardClusterBits),
            rule: "a power of two from 512 to 2M",
            where: {
                $0.nonzeroBitCount == 1 && ImageLimits.QCOW2.clusterBits.contains(UInt32($0.trailingZeroBitCount))
            }
        )
        let refcountBits = try options.take("refcount_bits", oneOf: ["16", "1", "2", "4", "8", "32", "64"])
        let isExtended =
            try options.take("extended_l2", oneOf: [["off", "false", "no"], ["on", "true", "yes"]]) == "on"
        let type = try options.take("compression_type", oneOf: ["zlib", "zstd"])
        compression = try Self.compression(type, &options)
        try options.requireAllTaken(by: .qcow2)
        settled = options.settled

        var header = QCOW2Header(
            version: version, clusterBits: UInt32(clusterSize.trailingZeroBitCount), diskSize: diskSize,
            l1EntryCount: 0, l1Offset: 0, refcountTableOffset: 0, refcountTableClusters: 0)
        header.refcountOrder = UInt32((UInt64(refcountBits) ?? 16).trailingZeroBitCount)
        header.compressionType = Self.compressionTypes[type] ?? 0
        if header.compressionType != 0 { header.incompatibleFeatures.insert(.compressionType) }
        if isExtended { header.incompatibleFeatures.insert(.extendedL2) }
        if version < 3 { header.headerLength = QCOW2Header.version2Length }
        try Self.requireAllowed(header)
        header.l1EntryCount = header.neededL1Entries
        try Self.requireShortL1(header)
        self.header = header
    }

    /// Takes what says whether and how units are compressed: to give a level is to ask for it.
    private static func compression(_ type: String, _ options: inout FormatOptions) throws(ImageError)
        -> UnitCompression?
    {
        let isAsked = options.gives("compression_level")
        let isOn = try options.take("compress", oneOf: [[isAsked ? "on" : "off"], [isAsked ? "off" : "on"]]) == "on"
        guard isOn else {
            guard !isAsked else {
                throw ImageError(
                    .invalidOption, "compress=off stores clusters as they are, at no compression_level: leave one out")
            }
            return nil
        }
        let (levels, standard) =
            type == "zstd" ? (zstdLevels, standardZstdLevel) : (zlibLevels, standardZlibLevel)
        let level = try options.take("compression_level", in: levels, default: standard)
        return type == "zstd"
            ? UnitCompression(.zstd, by: .zstd, level: level, keepsIncompressible: true) : deflate(level)
    }

    /// What a level of zlib stands for.
    ///
    /// 1 and 2 are ISA-L's. 3 is zlib's own. 6 makes QEMU's very streams, and images of 4 and more are to be no larger than
    /// QEMU's: 4 and 5, which would be, are 6 as well.
    private static func deflate(_ level: Int) -> UnitCompression {
        let (library, own): (UnitCompression.Library, Int) =
            switch level {
            case ...2: (.isal, level)
            case 4...6: (.zlib, 6)
            default: (.zlib, level)
            }
        return UnitCompression(
            .deflate, by: library, level: own, windowBits: windowBits, keepsIncompressible: true)
    }

    private static func requireAllowed(_ header: QCOW2Header) throws(ImageError) {
        guard !header.hasExtendedL2 || header.clusterBits >= QCOW2Header.minimumExtendedClusterBits else {
            throw ImageError(
                .invalidOption,
                "extended_l2=on divides clusters into 32 subclusters of a sector or more, and cluster_size is "
                    + "\(header.clusterSize); it has to be 16384 or more")
        }
        guard header.version < 3 else { return }
        for (option, isFree) in [
            ("refcount_bits=\(header.refcountBits)", header.refcountOrder == 4),
            ("extended_l2=on", !header.hasExtendedL2), ("compression_type=zstd", header.compressionType == 0),
        ] where !isFree {
            throw ImageError(.invalidOption, "compat=0.10 does not have \(option); write compat=1.1, or leave it out")
        }
    }

    private static func requireShortL1(_ header: QCOW2Header) throws(ImageError) {
        let maximum = ImageLimits.QCOW2.l1TableLength / QCOW2Tables.entryLength
        guard header.l1EntryCount > maximum else { return }
        let isLargest = header.clusterBits == ImageLimits.QCOW2.clusterBits.upperBound && !header.hasExtendedL2
        throw ImageError(
            .limitExceeded,
            "a disk of \(header.diskSize) bytes is too large for qcow2 with clusters of \(header.clusterSize) bytes"
                + (header.hasExtendedL2 ? " and extended_l2=on" : "")
                + ", which holds at most \(maximum * header.l2Coverage) bytes; "
                + (isLargest ? "convert to raw" : "take a larger cluster_size, or convert to raw"))
    }
}

/// How many clusters the refcounts of a file take.
package struct QCOW2RefcountLayout: Hashable, Sendable {
    /// All of the file's refcount blocks.
    package var blocks: UInt64
    package var tableClusters: UInt64

    /// Refcounts count the clusters that they stand in, so both numbers grow until they hold themselves too.
    ///
    /// - Parameters:
    ///   - clusters: all other clusters of the file.
    ///   - placed: blocks that are among these clusters already.
    package init(forClusters clusters: UInt64, placed: UInt64 = 0, _ header: QCOW2Header) {
        blocks = placed
        tableClusters = 0
        while true {
            let all = clusters + (blocks - placed) + tableClusters
            let neededBlocks = max(placed, all.dividedRoundingUp(by: header.refcountsPerBlock))
            let neededTable = (neededBlocks * QCOW2Tables.entryLength).dividedRoundingUp(by: header.clusterSize)
            if neededBlocks == blocks, neededTable == tableClusters { return }
            blocks = neededBlocks
            tableClusters = neededTable
        }
    }
}
