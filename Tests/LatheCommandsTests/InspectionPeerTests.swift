import Foundation
import LatheTestSupport
import Testing

/// `info` and `map` beside those of qemu-img, over images of QEMU's own making in many layouts.
@Suite(.requiresQEMU) struct InspectionPeerTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// Creates an image with data, zeros and holes in it.
    private func image(_ format: String, _ options: String, size: String = "20M") throws -> String {
        let path = directory.file("disk." + (format == "vpc" ? "vhd" : format))
        let given = options.isEmpty ? [] : ["-o", options]
        try QEMU.make(["create", "-q", "-f", format] + given + [path, size])
        guard !options.contains("streamOptimized") else { return path }
        try write(path, format, ["write -P 7 3M 64k", "write -P 8 9M 1M", "write -z 12M 1M", "write -P 9 16M 4k"])
        return path
    }

    private func write(_ path: String, _ format: String, _ commands: [String]) throws {
        let outcome = try RunningProcess(
            "qemu-io", ["-f", format] + commands.flatMap { ["-c", $0] } + [path]
        ).outcome()
        #expect(outcome.status == 0, "\(outcome.testDescription)")
    }

    static let layouts = [
        ("qcow2", ""), ("qcow2", "compat=0.10"), ("qcow2", "cluster_size=4k,lazy_refcounts=on"),
        ("qcow2", "extended_l2=on,cluster_size=128k"), ("qcow2", "refcount_bits=1,compression_type=zstd"),
        ("vmdk", ""), ("vmdk", "subformat=streamOptimized"), ("vmdk", "subformat=monolithicFlat"),
        ("vmdk", "subformat=twoGbMaxExtentSparse"), ("vmdk", "subformat=twoGbMaxExtentFlat"), ("vdi", ""),
        ("vdi", "static=on"), ("vpc", ""), ("vpc", "subformat=fixed"), ("raw", ""),
    ]

    /// What a guest byte is said to be: neighbours that are the same in this are one.
    private struct Run: Equatable {
        var start: UInt64
        var end: UInt64
        var depth: UInt64
        var isPresent: Bool
    }

    private func runs(_ json: JSONValue) -> [Run] {
        var runs: [Run] = []
        for entry in json.elements {
            guard let start = entry["start"]?.number, let length = entry["length"]?.number,
                let depth = entry["depth"]?.number, let present = entry["present"]?.flag
            else { continue }
            let run = Run(start: start, end: start + length, depth: depth, isPresent: present)
            if let last = runs.last, last.depth == depth, last.isPresent == present {
                runs[runs.count - 1].end = run.end
            } else {
                runs.append(run)
            }
        }
        return runs
    }

    private func expectTheSameMap(_ path: String, _ format: String) throws {
        let ours = try lathe(
            "map", "--output", "json", "-f", format, "--allow-backing", directory.path, path
        ).json()
        let theirs = try RunningProcess("qemu-img", ["map", "--output", "json", "-f", format, path]).outcome().json()
        #expect(runs(ours) == runs(theirs))
        #expect(!runs(theirs).isEmpty)
    }

    /// Every key that QEMU has, with its value, but for what the file is called and its format.
    private func expectAll(of theirs: JSONValue, in ours: JSONValue?, _ place: String) {
        guard !theirs.fields.isEmpty else {
            if theirs.elements.isEmpty {
                #expect(ours == theirs, "\(place)")
            } else {
                for (index, element) in theirs.elements.enumerated() {
                    expectAll(of: element, in: ours?.elements[index], "\(place)[\(index)]")
                }
            }
            return
        }
        for (key, value) in theirs.fields {
            let path = place + "." + key
            // A vhd is a vpc there; the cluster size of an extent stands in its own file, and info opens no other.
            if key == "children" || [".format", ".format-specific.type"].contains(path) { continue }
            if key == "cluster-size", place.contains("extents") || ours?["format"]?.text == "vmdk" { continue }
            if key == "actual-size", ours?["format"]?.text == "vmdk" { continue }
            expectAll(of: value, in: ours?[key], path)
        }
    }

    private func expectTheSameInfo(_ path: String, _ format: String) throws {
        let ours = try lathe("info", "--output", "json", "-f", format, path).json()
        let theirs = try RunningProcess("qemu-img", ["info", "--output", "json", "-f", format, path]).outcome().json()
        expectAll(of: theirs, in: ours, "")
    }

    @Test(arguments: layouts) func bothSayTheSameOfEveryLayout(format: String, options: String) throws {
        let path = try image(format, options)
        try expectTheSameMap(path, format)
        try expectTheSameInfo(path, format)
    }

    @Test(arguments: ["qcow2", "raw"]) func bothSayTheSameOfChains(base: String) throws {
        let under = try image(base, "")
        for (index, size) in ["20M", "18M", "30M"].enumerated() {
            let path = directory.file("layer\(index).qcow2")
            let below = index == 0 ? URL(filePath: under).lastPathComponent : "layer\(index - 1).qcow2"
            try QEMU.make([
                "create", "-q", "-f", "qcow2", "-F", index == 0 ? base : "qcow2", "-b", below, path, size,
            ])
            try write(path, "qcow2", ["write -P 1 \(index + 1)M 64k", "write -z \(index + 5)M 128k"])
            try expectTheSameMap(path, "qcow2")
            try expectTheSameInfo(path, "qcow2")
        }
    }

    @Test func snapshotsAndBitmapsAreListed() throws {
        let path = try image("qcow2", "")
        try QEMU.make(["snapshot", "-c", "before the update", path])
        try write(path, "qcow2", ["write 5M 1M"])
        try QEMU.make(["snapshot", "-c", "after", path])
        try QEMU.make(["bitmap", "--add", "-g", "32k", path, "daily"])
        try QEMU.make(["bitmap", "--add", "--disable", path, "old"])
        try expectTheSameInfo(path, "qcow2")
        let text = try lathe("info", path).text
        #expect(text.contains("Snapshot list:\nID        TAG "))
        #expect(text.contains("1         before the update 0 B "))
        #expect(text.contains("    bitmaps:\n        [0]:\n            name: daily\n"))
    }

    @Test func anUnknownFeatureIsCalledWhatTheImageCallsIt() throws {
        let path = try image("qcow2", "")
        let file = try FileHandle(forUpdating: URL(filePath: path))
        // The features field, and the first entry of the name table, which QEMU puts behind the header and its extension's head.
        try file.seek(toOffset: 72)
        try file.write(contentsOf: Data([0, 0, 0, 1, 0, 0, 0, 0]))
        try file.seek(toOffset: 120)
        try file.write(contentsOf: Data([0, 32] + Array("time travel\0".utf8)))
        try file.close()
        let outcome = try lathe("info", path)
        #expect(outcome.status == 1 && outcome.errors.contains("bit 32, which the image calls 'time travel'"))
    }

    /// QEMU reads chains of any length that it can open.
    @Test func aLongChainIsRead() throws {
        let base = try image("qcow2", "")
        var last = base
        for index in 0..<100 {
            let path = directory.file("l\(index).qcow2")
            let below = URL(filePath: last).lastPathComponent
            try QEMU.make(["create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", below, path, "20M"])
            last = path
        }
        let compared = try lathe("compare", "--allow-backing", directory.path, base, last)
        #expect(compared.status == 0, "\(compared.testDescription)")
        try expectTheSameMap(last, "qcow2")
    }
}
