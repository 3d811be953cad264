import Foundation
import LatheTestSupport
import Testing

/// Every layout of qcow2 that Lathe writes, held against qemu-img: what it reads, what it checks, and how long its own is.
@Suite(.requiresQEMU) struct QCOW2PeerTests {
    struct Layout: Sendable, CustomTestStringConvertible {
        var options: String
        var compresses = false
        var testDescription: String { options + (compresses ? " -c" : "") }
    }

    /// Each size of clusters, with widths of refcounts, subclusters and compression in turn.
    static let layouts: [Layout] =
        (9...21).flatMap { bits in
            let widths = ["1", "2", "4", "8", "16", "32", "64"]
            let size = "cluster_size=\(1 << bits)"
            let extended = bits >= 14 ? ",extended_l2=on" : ""
            return [
                Layout(options: size + ",refcount_bits=\(widths[bits % 7])" + extended),
                Layout(
                    options: size + ",compression_level=6,refcount_bits=\(widths[(bits + 3) % 7])", compresses: true),
                Layout(
                    options: size + ",compression_type=zstd,refcount_bits=\(widths[(bits + 5) % 7])" + extended,
                    compresses: true),
            ]
        } + [
            Layout(options: "compat=0.10"),
            Layout(options: "compat=0.10,cluster_size=4k,compression_level=9", compresses: true),
            Layout(options: "compression_level=4", compresses: true),
            Layout(options: "compression_level=7", compresses: true),
        ]

    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func size(_ path: String) throws -> UInt64 {
        try #require(FileManager.default.attributesOfItem(atPath: path)[.size] as? UInt64)
    }

    /// Content that compresses and content that does not in turn, in runs on both sides of a cluster, and zeros.
    private static let content: [UInt8] = {
        var bytes: [UInt8] = []
        for round in 0..<6 {
            bytes += Content.full(length: 40_000 << (round % 3), seed: UInt64(round))
            bytes += Content.mixed(length: 150_000, seed: UInt64(round))
            bytes += [UInt8](repeating: 0, count: 70_000)
            bytes += [UInt8](repeating: UInt8(round) + 1, count: 30_000)
        }
        return bytes + [UInt8](repeating: 9, count: (512 - bytes.count % 512) % 512)
    }()

    @Test(arguments: layouts) func everyLayoutIsTheSameToQEMUAndPackedNoLongerThanItsOwn(layout: Layout) throws {
        let source = directory.file("source.raw")
        try Data(Self.content).write(to: URL(filePath: source))
        let image = directory.file("image.qcow2")
        let flag = layout.compresses ? ["-c"] : []
        let made = try lathe(["convert", "--verify", "-O", "qcow2", "-o", layout.options] + flag + [source, image])
        #expect(made.status == 0, "\(made.testDescription)")
        let checked = try QEMU.run("check", "-f", "qcow2", image)
        #expect(checked.status == 0, "\(checked.testDescription)")
        let compared = try QEMU.run("compare", "-f", "raw", "-F", "qcow2", source, image)
        #expect(compared.status == 0, "\(compared.testDescription)")
        let ours = try lathe("check", image)
        #expect(ours.status == 0, "\(ours.testDescription)")

        let peers = directory.file("peer.qcow2")
        let options = layout.options.split(separator: ",").filter { !$0.hasPrefix("compression_level") }
        let given = options.isEmpty ? [] : ["-o", options.joined(separator: ",")]
        try QEMU.make(["convert", "-O", "qcow2"] + given + flag + [source, peers])
        // Plain images end with whole clusters of tables, QEMU's with what it wrote last. Where an L2 table comes every 64 clusters
        // of 512 bytes, chance decides about a cluster or two.
        let isSmall = layout.options.contains("cluster_size=512") || layout.options.contains("cluster_size=1024")
        if layout.compresses { #expect(try size(image) <= size(peers) + (isSmall ? size(peers) / 200 : 0)) }
        let information = try QEMU.make(["info", "--output", "json", image]).json()
        let expected = try QEMU.make(["info", "--output", "json", peers]).json()
        #expect(information["format-specific"] == expected["format-specific"])
        #expect(information["cluster-size"] == expected["cluster-size"])
    }

    /// As a file, from four threads, and through a pipe, where data that goes back to room that was left comes late.
    @Test(arguments: ["compression_level=1", "compression_type=zstd,cluster_size=4k", "extended_l2=on"])
    func threadsAndPipesDoNotShow(options: String) throws {
        let source = directory.file("source.raw")
        try Data(Self.content).write(to: URL(filePath: source))
        let flag = options.contains("extended") ? [] : ["-c"]
        let convert = ["convert", "-q", "-O", "qcow2", "-o", options] + flag
        for threads in ["1", "4"] {
            #expect(try lathe(convert + ["--threads", threads, source, directory.file(threads)]).status == 0)
        }
        try Tool.run("cmp", [directory.file("1"), directory.file("4")])
        let piped = try lathe(convert + ["--threads", "2", source, "-"])
        #expect(piped.status == 0, "\(piped.errors)")
        #expect(try Data(contentsOf: URL(filePath: directory.file("1"))) == piped.output)
    }

    /// The default level is the fast one, and not much larger.
    @Test(.requiresExt4) func theFastLevelIsAtMostATenthLargerOnAFileSystem() throws {
        let source = directory.file("source.raw")
        try Ext4Disk.make(source, in: directory)
        for (options, limit) in [
            ([], 1.10), (["-o", "compression_level=6"], 1.0), (["-o", "compression_type=zstd"], 1.0),
        ] {
            let image = directory.file("image.qcow2")
            let made = try lathe(["convert", "--overwrite", "-q", "-c", "-O", "qcow2"] + options + [source, image])
            #expect(made.status == 0, "\(made.testDescription)")
            let peers = directory.file("peer.qcow2")
            try QEMU.make(
                ["convert", "-c", "-O", "qcow2"] + (options.contains { $0.contains("zstd") } ? options : [])
                    + [source, peers])
            #expect(try Double(size(image)) <= Double(size(peers)) * limit, "\(options)")
        }
    }
}
