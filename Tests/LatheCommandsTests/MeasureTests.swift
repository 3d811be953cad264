import Foundation
import LatheTestSupport
import Testing

/// `lathe measure`, beside what `convert` then writes and what qemu-img says.
@Suite struct MeasureTests {
    private let directory: TemporaryDirectory
    private let source: String

    init() throws {
        directory = try TemporaryDirectory()
        source = directory.file("source.raw")
        let content = Content.mixed(length: 2_000_100, seed: 31) + [UInt8](repeating: 0, count: 3 << 20)
        try Data(content).write(to: URL(filePath: source))
    }

    @Test(arguments: OutputVariant.all) func theFileThatIsWrittenHasTheMeasuredLength(variant: OutputVariant) throws {
        let arguments = variant.arguments.joined(separator: " ")
        let outcome = try shell(
            """
            set -e -o pipefail
            "$1" measure --output json -f raw \(arguments) "$2"
            "$1" convert -q -f raw \(arguments) "$2" "$3"
            stat -c %s "$3" >&2
            """, source, directory.file("image"))
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        #expect(try outcome.json()["required"].map { "\($0.number ?? 0)\n" } == outcome.errors)
    }

    @Test(arguments: VMDKFilesTests.subformats) func severalFilesHaveTheMeasuredLengthTogether(subformat: String) throws
    {
        let options = ["-f", "raw", "-O", "vmdk", "-o", "subformat=\(subformat)"]
        func required(_ arguments: [String]) throws -> UInt64? {
            try lathe(["measure", "--output", "json"] + options + arguments + [source]).json()["required"]?.number
        }
        func written(_ name: String) throws -> UInt64 {
            let folder = directory.file(name + ".d")
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
            #expect(try lathe(["convert", "-q"] + options + [source, "\(folder)/\(name)"]).status == 0)
            return try FileManager.default.contentsOfDirectory(atPath: folder).reduce(0) { sum, file in
                let attributes = try FileManager.default.attributesOfItem(atPath: "\(folder)/\(file)")
                return sum + (attributes[.size] as? UInt64 ?? 0)
            }
        }
        // Named after the source, unless it is said how.
        #expect(try required([]) == written("source.vmdk"))
        #expect(try required(["--name", "of/no/matter/x.vmdk"]) == written("x.vmdk"))
        let piped = try shell(
            #"cat "$2" | "$1" measure --output json \#(options.joined(separator: " ")) -"#, source
        ).json()["required"]?.number
        #expect(try piped == written("disk.vmdk"))
        #expect(try written("source.vmdk.vmdk") > written("y.vmdk"))
    }

    @Test(.requiresQEMU, arguments: ["1G", "2147483648", "5G"]) func qemuMeasuresTheSame(size: String) throws {
        let (ours, theirs) = (
            try lathe("measure", "-O", "raw", "--size", size), try QEMU.run("measure", "-O", "raw", "--size", size)
        )
        #expect(ours.text == theirs.text && ours.status == 0)
        let qcow2 = ["measure", "--output", "json", "-O", "qcow2", "--size", size]
        let (our, their) = (try lathe(qcow2).json(), try RunningProcess("qemu-img", qcow2).outcome().json())
        #expect(our.keys == their.keys)
        // Of an empty disk, ours has no L2 table; full, both have the same.
        #expect(our["fully-allocated"] == their["fully-allocated"])
    }

    /// The greatest disk of every layout, or of any file: sizes of empty disks are arithmetic, and none waits for a walk.
    @Test(arguments: [
        ("raw", "", "8191P"), ("qcow2", "", "2P"), ("qcow2", "cluster_size=2M", "2E"),
        ("qcow2", "cluster_size=2M,extended_l2=on", "1024P"), ("qcow2", "extended_l2=on", "1024T"),
        ("qcow2", "cluster_size=512", "128G"), ("qcow2", "compress=on", "2P"), ("qcow2", "refcount_bits=64", "2P"),
        ("vdi", "", "511T"), ("vdi", "subformat=static", "511T"), ("vhd", "", "2040G"),
        ("vhd", "subformat=fixed", "2040G"), ("vmdk", "", "64T"), ("vmdk", "subformat=streamOptimized", "64T"),
        ("vmdk", "subformat=monolithicFlat", "64T"), ("vmdk", "subformat=twoGbMaxExtentSparse", "8T"),
        ("raw.tar.gz", "", "1P"),
    ]) func theGreatestEmptyDiskIsMeasured(format: String, options: String, size: String) throws {
        let arguments = ["measure", "-O", format] + (options.isEmpty ? [] : ["-o", options]) + ["--size", size]
        let outcome = try lathe(arguments)
        #expect(outcome.status == 0 && outcome.text.hasPrefix("required size: "), "\(outcome.testDescription)")
    }

    @Test(
        .requiresQEMU,
        arguments: [
            "", "extended_l2=on", "cluster_size=512", "cluster_size=2M", "refcount_bits=64", "refcount_bits=1",
            "cluster_size=4k,refcount_bits=32",
        ]) func qemuMeasuresFullDisksOfEveryLayoutAlike(options: String) throws
    {
        for size in ["512", "1M", "100G"] {
            let arguments =
                ["measure", "--output", "json", "-O", "qcow2", "--size", size]
                + (options.isEmpty ? [] : ["-o", options])
            let (our, their) = (try lathe(arguments).json(), try RunningProcess("qemu-img", arguments).outcome().json())
            #expect(our["fully-allocated"] == their["fully-allocated"], "\(size)")
        }
    }

    @Test func aSizePastALimitIsRefusedByTheLimit() throws {
        for size in ["8E", "16E", "9223372036854775807", "99999999999999999999"] {
            let outcome = try lathe("measure", "-O", "raw", "--size", size)
            #expect(outcome.status == 64 && outcome.errors.contains("no disk is larger than 9223372036854775296 bytes"))
        }
        let qcow2 = try lathe("measure", "-O", "qcow2", "--size", "7E")
        #expect(qcow2.status == 1 && qcow2.errors.contains("holds at most 2251799813685248 bytes"))
        #expect(try lathe("measure", "-O", "raw", "--size", "7E").status == 0)
        #expect(try lathe("measure", "-O", "raw", "--size", "7X").status == 64)
    }

    @Test func anEmptyDiskOrAnImageIsMeasuredAndNotBoth() throws {
        #expect(try lathe("measure", "-O", "qcow2").status == 64)
        #expect(try lathe("measure", "-O", "qcow2", "--size", "1G", source).status == 64)
        let tooLarge = try lathe("measure", "-O", "vhd", "--size", "3T")
        #expect(tooLarge.status == 1 && tooLarge.errors.contains("too large for vhd"))
    }
}
