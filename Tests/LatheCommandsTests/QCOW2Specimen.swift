import Foundation
import LatheTestSupport
import Testing

/// A qcow2 image that qemu-img made with some features, to be damaged and mended.
struct QCOW2Specimen: Sendable, CustomTestStringConvertible {
    var name: String
    /// `-o` of `qemu-img create`.
    var options: String
    /// Commands of qemu-io, each a write.
    var writes: [String] = ["write -P 3 0 300k", "write -P 5 1M 70k", "write -z 2M 128k", "write -P 7 7M 64k"]
    var hasSnapshot = false
    /// Whether it has persistent bitmaps, which own clusters.
    var hasBitmaps = false
    /// Further arguments of `qemu-img create`, with the directory in place of `@`.
    var more: [String] = []

    var testDescription: String { name }

    static let all: [QCOW2Specimen] = [
        QCOW2Specimen(name: "plain", options: "compat=1.1"),
        QCOW2Specimen(name: "version 2", options: "compat=0.10"),
        QCOW2Specimen(name: "clusters of 512 bytes", options: "cluster_size=512"),
        QCOW2Specimen(name: "clusters of 2 MiB", options: "cluster_size=2M"),
        QCOW2Specimen(name: "refcounts of 1 bit", options: "refcount_bits=1"),
        QCOW2Specimen(name: "refcounts of 2 bits", options: "refcount_bits=2,cluster_size=4k"),
        QCOW2Specimen(name: "refcounts of 4 bits", options: "refcount_bits=4", hasSnapshot: true),
        QCOW2Specimen(name: "refcounts of 8 bits", options: "refcount_bits=8", hasSnapshot: true),
        QCOW2Specimen(name: "refcounts of 32 bits", options: "refcount_bits=32", hasSnapshot: true),
        QCOW2Specimen(name: "refcounts of 64 bits", options: "refcount_bits=64,cluster_size=1k", hasSnapshot: true),
        QCOW2Specimen(name: "extended entries", options: "extended_l2=on"),
        QCOW2Specimen(
            name: "extended entries, snapshot", options: "extended_l2=on,cluster_size=16k", hasSnapshot: true),
        QCOW2Specimen(
            name: "zlib", options: "compat=1.1",
            writes: ["write -c -P 3 0 64k", "write -c -P 4 64k 64k", "write -c -P 5 1M 64k", "write -P 6 3M 64k"],
            hasSnapshot: true),
        QCOW2Specimen(
            name: "zstd in small clusters", options: "compression_type=zstd,cluster_size=4k",
            writes: ["write -c -P 3 0 4k", "write -c -P 4 4k 4k", "write -c -P 5 1M 4k", "write -P 6 3M 64k"]),
        QCOW2Specimen(
            name: "backing file", options: "compat=1.1", more: ["-b", "@/base.raw", "-F", "raw"]),
        QCOW2Specimen(name: "data file", options: "data_file=@/data.raw"),
        QCOW2Specimen(name: "bitmaps", options: "compat=1.1", hasBitmaps: true),
        QCOW2Specimen(name: "lazy refcounts", options: "lazy_refcounts=on", hasSnapshot: true),
    ]

    /// Makes it.
    func make(_ path: String, in directory: TemporaryDirectory) throws {
        func placed(_ text: String) -> String { text.replacing("@", with: directory.path) }
        if more.contains("-b") { try Data(count: 8 << 20).write(to: URL(filePath: directory.file("base.raw"))) }
        try QEMU.make(["create", "-q", "-f", "qcow2", "-o", placed(options)] + more.map(placed) + [path, "8M"])
        if hasBitmaps { try QEMU.make(["bitmap", "--add", "-g", "512", path, "first"]) }
        let commands = writes.flatMap { ["-c", $0] }
        try Tool.run("qemu-io", ["-f", "qcow2"] + commands + [path])
        if hasBitmaps { try QEMU.make(["bitmap", "--add", path, "second"]) }
        guard hasSnapshot else { return }
        try QEMU.make(["snapshot", "-c", "before", path])
        try Tool.run("qemu-io", ["-f", "qcow2", "-c", "write -P 9 100k 200k", "-c", "write -P 8 5M 64k", path])
    }
}

/// Damages the metadata of a qcow2 image in ways that leave the content readable.
struct QCOW2Damage {
    enum Kind: String, CaseIterable, Sendable {
        case leaks, tooLow, scribbledRefcounts, flags
        // From here on QEMU counts in other ways.
        case tableLost, entryOutside, entryUnaligned, blockOnData, blocksShared, dirtyAndLow, corruptMark

        /// Whether QEMU's counts must be ours.
        var isCountedAlike: Bool {
            [.leaks, .tooLow, .dirtyAndLow, .scribbledRefcounts, .flags, .corruptMark].contains(self)
        }
    }

    private var bytes: Data
    private var generator: SeededGenerator

    init(_ path: String, seed: UInt64) throws {
        bytes = try Data(contentsOf: URL(filePath: path))
        generator = SeededGenerator(seed: seed)
    }

    private func number(_ offset: Int, _ width: Int) -> Int {
        bytes[offset..<offset + width].reduce(0) { $0 << 8 | Int($1) }
    }

    private mutating func put(_ value: UInt64, at offset: Int) {
        for step in 0..<8 { bytes[offset + step] = UInt8(truncatingIfNeeded: value >> (56 - 8 * UInt64(step))) }
    }

    private var clusterSize: Int { 1 << number(20, 4) }
    private var refcountBits: Int { number(4, 4) == 2 ? 16 : 1 << number(96, 4) }
    private var table: Int { number(48, 8) }
    private var l1: Int { number(40, 8) }
    private var clusters: Int { (bytes.count + clusterSize - 1) / clusterSize }
    private static let flag: UInt64 = 1 << 63

    private func block(of cluster: Int) -> Int { number(table + cluster / perBlock * 8, 8) }
    private var perBlock: Int { clusterSize * 8 / refcountBits }

    private func refcount(_ cluster: Int) -> Int {
        let start = block(of: cluster)
        guard start > 0 else { return 0 }
        let place = cluster % perBlock
        if refcountBits >= 8 { return number(start + place * refcountBits / 8, refcountBits / 8) }
        let byte = Int(bytes[start + place * refcountBits / 8])
        return byte >> (place * refcountBits % 8) & (1 << refcountBits - 1)
    }

    private mutating func set(_ refcount: Int, of cluster: Int) {
        let start = block(of: cluster)
        guard start > 0 else { return }
        let place = cluster % perBlock
        if refcountBits >= 8 {
            let width = refcountBits / 8
            for step in 0..<width {
                bytes[start + place * width + step] = UInt8(truncatingIfNeeded: refcount >> (8 * (width - 1 - step)))
            }
        } else {
            let (byte, shift) = (start + place * refcountBits / 8, place * refcountBits % 8)
            let mask = 1 << refcountBits - 1
            bytes[byte] = UInt8(Int(bytes[byte]) & ~(mask << shift) | refcount << shift)
        }
    }

    /// Changes the bytes, and writes them.
    mutating func apply(_ kind: Kind, to path: String) throws {
        let greatest = refcountBits >= 31 ? 1 << 30 : 1 << refcountBits - 1
        switch kind {
        case .leaks:
            // Room for leaked clusters.
            bytes.append(Data(count: (clusters + 8) * clusterSize - bytes.count))
            for _ in 0..<6 {
                let cluster = Int.random(in: 0..<clusters, using: &generator)
                set(min(greatest, refcount(cluster) + Int.random(in: 1...3, using: &generator)), of: cluster)
            }
        case .tooLow, .dirtyAndLow:
            for _ in 0..<6 {
                let cluster = Int.random(in: 0..<clusters, using: &generator)
                set(Int.random(in: 0...max(0, refcount(cluster) - 1), using: &generator), of: cluster)
            }
            if kind == .dirtyAndLow { bytes[79] |= 1 }
        case .scribbledRefcounts:
            for cluster in 0..<min(40, clusters) where Bool.random(using: &generator) {
                set(Int.random(in: 0...min(5, greatest), using: &generator), of: cluster)
            }
        case .flags:
            try flipFlags()
        case .tableLost:
            for index in table..<table + clusterSize { bytes[index] = 0 }
        case .entryOutside:
            put(UInt64(clusters + 5) * UInt64(clusterSize) * 1000, at: table)
        case .entryUnaligned:
            put(UInt64(number(table, 8)) + 256, at: table)
        case .blockOnData:
            // On the first L2 table.
            put(UInt64(number(l1, 8) & 0xFF_FFFF_FFFF_FE00), at: table)
        case .blocksShared:
            put(UInt64(number(table, 8)), at: table + 8)
        case .corruptMark:
            bytes[79] |= 2
        }
        try bytes.write(to: URL(filePath: path))
    }

    private mutating func flipFlags() throws {
        let l2 = number(l1, 8) & 0xFF_FFFF_FFFF_FE00
        put(UInt64(truncatingIfNeeded: number(l1, 8)) ^ Self.flag, at: l1)
        let step = number(4, 4) == 3 && bytes[79] & 16 != 0 ? 16 : 8
        for place in stride(from: l2, to: min(l2 + clusterSize, bytes.count), by: step) {
            let entry = UInt64(truncatingIfNeeded: number(place, 8))
            // Compressed ones have no flag to lose, and unallocated ones no use for one.
            guard entry & 1 << 62 == 0, entry & 0xFF_FFFF_FFFF_FE00 != 0, Bool.random(using: &generator) else {
                continue
            }
            put(entry ^ Self.flag, at: place)
        }
    }
}
