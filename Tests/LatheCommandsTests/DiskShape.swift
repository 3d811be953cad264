import Foundation
import LatheTestSupport
import Testing

/// A raw disk for tests: a length, and what is written where; the rest is a hole.
struct DiskShape: Sendable, CustomTestStringConvertible {
    var name: String
    var length: UInt64
    var pieces: [Piece] = []

    /// Bytes are made when they are wanted: the test library looks into every argument, each byte of an array too.
    struct Piece: Sendable {
        var offset: UInt64
        var bytes: @Sendable () -> [UInt8]
    }

    var testDescription: String { name }

    /// What the disk is as a guest sees it.
    var virtualSize: UInt64 { (length + 511) / 512 * 512 }

    init(_ name: String, _ length: UInt64, _ pieces: [Piece] = []) {
        self.name = name
        self.length = length
        self.pieces = pieces
    }

    init(_ name: String, content: @autoclosure @escaping @Sendable () -> [UInt8]) {
        self.init(name, UInt64(content().count), [Piece(offset: 0, bytes: content)])
    }

    func write(to path: String) throws {
        try Data().write(to: URL(filePath: path))
        let file = try FileHandle(forWritingTo: URL(filePath: path))
        defer { try? file.close() }
        for piece in pieces {
            try file.seek(toOffset: piece.offset)
            try file.write(contentsOf: piece.bytes())
        }
        try file.truncate(atOffset: length)
    }

    /// Data in the first and the last sector and 4 KiB in the middle.
    static func sparse(_ name: String, _ length: UInt64) -> DiskShape {
        let middle = length / 2 / 4096 * 4096
        return DiskShape(
            name, length,
            [
                Piece(offset: 0, bytes: { Content.full(length: 512, seed: length) }),
                Piece(offset: middle, bytes: { Content.full(length: 4096, seed: length + 1) }),
                Piece(offset: length - 512, bytes: { Content.full(length: 512, seed: length + 2) }),
            ])
    }

    /// Sizes around the ends of every format's tables and units.
    static let boundaries: [DiskShape] = {
        let units: [(String, UInt64)] = [
            ("qcow2 cluster, vmdk grain", 64 << 10), ("vdi block", 1 << 20), ("vhd block", 2 << 20),
            ("vmdk grain table", 32 << 20), ("vhd BAT sector", 256 << 20), ("qcow2 L2 table", 512 << 20),
        ]
        return units.flatMap { unit, size in
            [
                sparse("a sector less than a \(unit)", size - 512), sparse("a \(unit)", size),
                sparse("a sector more than a \(unit)", size + 512),
            ]
        }
    }()

    static let small: [DiskShape] = [
        DiskShape("empty", content: []),
        DiskShape("one byte", content: [1]),
        DiskShape("one sector", content: Content.full(length: 512, seed: 21)),
        DiskShape("odd length", content: Content.mixed(length: 1_000_001, seed: 22)),
        DiskShape("all zero", content: [UInt8](repeating: 0, count: 3 << 20)),
        DiskShape("all hole", 5 << 20),
        DiskShape("all data", content: Content.full(length: 2 << 20 | 512, seed: 23)),
        DiskShape("alternating", content: Content.alternating(length: 3 << 20, period: 12_288)),
        DiskShape(
            "data at the very end", (4 << 20) + 512,
            [Piece(offset: 4 << 20, bytes: { Content.full(length: 512, seed: 24) })]),
        DiskShape("mixed", content: Content.mixed(length: 3 << 20, seed: 25)),
    ]
}

/// A real ext4 file system with a few files in it.
enum Ext4Disk {
    static func make(_ path: String, in directory: TemporaryDirectory) throws {
        let root = directory.file("root")
        try FileManager.default.createDirectory(atPath: "\(root)/etc", withIntermediateDirectories: true)
        for number in 0..<20 {
            let content = Content.mixed(length: 10_000 * number + 7, seed: UInt64(number))
            try Data(content).write(to: URL(filePath: "\(root)/etc/file-\(number)"))
        }
        try Tool.run("mkfs.ext4", ["-q", "-F", "-d", root, "-E", "lazy_itable_init=0", path, "48M"])
        try FileManager.default.removeItem(atPath: root)
    }
}
