import Foundation
import ImageFormats
import LatheTestSupport
import Testing

/// The options of `convert` and what it reports.
@Suite struct ConvertTests {
    private let directory: TemporaryDirectory
    private let source: String

    init() throws {
        directory = try TemporaryDirectory()
        source = directory.file("source.raw")
        let content = Content.mixed(length: 3_000_320, seed: 61) + [UInt8](repeating: 0, count: 3 << 20)
        try Data(content).write(to: URL(filePath: source))
    }

    private func bytes(_ name: String) throws -> Data { try Data(contentsOf: URL(filePath: directory.file(name))) }

    private func convert(
        _ arguments: [String], to name: String, environment: [String: String] = [:],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Data {
        let outcome = try lathe(
            ["convert", "-q", "-f", "raw"] + arguments + [source, directory.file(name)], environment: environment)
        #expect(outcome.status == 0, "\(outcome.testDescription)", sourceLocation: sourceLocation)
        #expect(outcome.output.isEmpty && outcome.errors.isEmpty, sourceLocation: sourceLocation)
        return try bytes(name)
    }

    @Test(arguments: OutputVariant.all) func theBytesDoNotDependOnThreadsOrNames(variant: OutputVariant) throws {
        let first = try convert(variant.arguments, to: "first")
        for threads in ["1", "2", "3", "8"] {
            let again = try convert(variant.arguments + ["--threads", threads], to: "other \(threads)")
            #expect(again == first, "\(threads) threads")
        }
    }

    @Test func theReportHasStableKeysAndTheTruth() throws {
        let image = directory.file("image.qcow2")
        let outcome = try lathe("convert", "--verify", "-O", "qcow2", "--output", "json", source, image)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        let report = try outcome.json()
        #expect(
            report.keys == [
                "source", "source-format", "filename", "format", "virtual-size", "fingerprint", "object-length",
                "object-crc64ecma", "content-bytes", "cloned-bytes", "verified", "seconds",
            ])
        #expect(report["source"]?.text == source)
        #expect(report["source-format"]?.text == "raw")
        #expect(report["filename"]?.text == image)
        #expect(report["format"]?.text == "qcow2")
        #expect(report["verified"]?.flag == true)
        #expect(report["virtual-size"]?.number == UInt64(try bytes("source.raw").count))
        #expect(report["object-length"]?.number == UInt64(try bytes("image.qcow2").count))
        let content = try lathe("digest", "--output", "json", image).json()
        #expect(report["fingerprint"] == content["digest"])
        let object = try lathe("digest", "-f", "raw", "--output", "json", image).json()
        #expect(report["object-crc64ecma"] == object["digest"])
    }

    @Test func withoutChecksumsTheReportHasNone() throws {
        let image = directory.file("image.qcow2")
        let outcome = try lathe("convert", "--checksum", "none", "-O", "qcow2", "--output", "json", source, image)
        #expect(
            try outcome.json().keys == [
                "source", "source-format", "filename", "format", "virtual-size", "object-length", "content-bytes",
                "cloned-bytes", "verified", "seconds",
            ])
        #expect(try lathe("compare", source, image).status == 0)
        let line = try lathe("convert", "--overwrite", "--checksum", "none", "-O", "qcow2", source, image)
        #expect(line.text.hasSuffix("; no fingerprint\n"))
    }

    @Test(arguments: [
        (["-O", "qcow2", "--checksum", "none", "--verify"], "--verify goes by checksums"),
        (["-O", "qcow2", "--checksum", "none", "--manifest", "m.json"], "--manifest goes by checksums"),
        (["-O", "qcow2", "--trust-holes", "--manifest", "m.json"], "how the source is allocated"),
        (["-O", "vhd", "--checksum", "none"], "a vhd holds identifiers"),
        (["-O", "vmdk", "--checksum", "none"], "a vmdk holds identifiers"),
        (["-O", "vdi", "--checksum", "none"], "a vdi holds identifiers"),
    ]) func whatNeedsChecksumsIsRefusedWithoutThem(arguments: [String], text: String) throws {
        let outcome = try lathe(["convert"] + arguments + [source, directory.file("image")])
        #expect(outcome.status == 1 && outcome.errors.contains(text), "\(outcome.testDescription)")
        #expect(try directory.contents == ["source.raw"])
        #expect(try lathe("convert", "-O", "raw", "--checksum", "none,sha256", source, "x").status == 64)
    }

    @Test func theReportForPeopleIsOneLine() throws {
        let image = directory.file("image.vdi")
        let outcome = try lathe("convert", "--verify", "-O", "vdi", source, image)
        #expect(outcome.lines.count == 1)
        #expect(outcome.text.hasPrefix("\(image): vdi, 5.86 MiB disk with "))
        #expect(outcome.text.hasSuffix(", verified\n"))
        #expect(outcome.errors.isEmpty)
    }

    @Test func vpcIsAnotherNameOfVHD() throws {
        #expect(try convert(["-O", "vpc"], to: "vpc") == convert(["-O", "vhd"], to: "vhd"))
    }

    @Test func compressionOfAVMDKIsStreamOptimized() throws {
        #expect(
            try convert(["-c", "-O", "vmdk"], to: "flag")
                == convert(["-O", "vmdk", "-o", "subformat=streamOptimized"], to: "option"))
    }

    @Test func optionsMayBeGivenTogetherOrApart() throws {
        #expect(
            try convert(["-O", "vmdk", "-o", "adapter_type=lsilogic,hwversion=14"], to: "together")
                == convert(["-O", "vmdk", "-o", "adapter_type=lsilogic", "-o", "hwversion=14"], to: "apart"))
    }

    @Test func theDateComesFromTheEnvironmentOnly() throws {
        let plain = try convert(["-O", "vhd"], to: "plain")
        let dated = try convert(["-O", "vhd"], to: "dated", environment: ["SOURCE_DATE_EPOCH": "1700000000"])
        #expect(plain != dated)
        // Seconds since 2000-01-01, big-endian, in the footer that ends the file.
        #expect(Array(plain.suffix(512)[(plain.count - 512 + 24)..<(plain.count - 512 + 28)]) == [0, 0, 0, 0])
        let seconds = dated.suffix(512).dropFirst(24).prefix(4).reduce(0) { $0 << 8 | UInt64($1) }
        #expect(seconds == 1_700_000_000 - 946_684_800)
        let other = try convert(["-O", "qcow2"], to: "a", environment: ["SOURCE_DATE_EPOCH": "1700000000"])
        #expect(try other == convert(["-O", "qcow2"], to: "b"))
    }

    @Test(arguments: OutputVariant.all) func writtenZerosAreTheSameDisk(variant: OutputVariant) throws {
        let digest = try lathe("digest", "-f", "raw", source).lines
        for size in ["0", "4k", "64k", "1M"] {
            let name = "image \(size)"
            _ = try convert(variant.arguments + ["--verify", "-S", size], to: name)
            let image = directory.file(name)
            let outcome = try lathe("digest", "-f", variant.format.rawValue, image)
            #expect(outcome.text.split(separator: " ").first == digest.first?.split(separator: " ").first)
            #expect(try lathe("check", "-f", variant.format.rawValue, image).status == 0)
            // -S changes what is a hole, and so which clusters exist only where it is 0.
            if size != "0" { #expect(try bytes(name) == convert(variant.arguments, to: "plain \(size)")) }
        }
    }

    @Test func withoutHolesARawFileIsFullyAllocated() throws {
        _ = try convert(["-O", "raw", "-S", "0"], to: "full")
        let map = try lathe("map", "-f", "raw", "--output", "json", directory.file("full")).json().elements
        #expect(map.count == 1)
        #expect(map.first?["data"]?.flag == true)
    }

    @Test(arguments: [
        (["-O", "qcow2", "-o", "foo=1"], "qcow2 has no option 'foo'; it has cluster_size, compat, compress"),
        (["-O", "raw", "-o", "subformat=fixed"], "raw has no option 'subformat'"),
        (["-O", "qcow2", "-o", "cluster_size=3k"], "a power of two from 512 to 2M"),
        (["-O", "vhd", "-o", "subformat=differencing"], "subformat can be dynamic, fixed"),
        (["-O", "vmdk", "-o", "compression_level=99"], "compression_level"),
        (["-O", "vmdk", "-o", "subformat=streamOptimized,subformat=monolithicSparse"], "given twice"),
        (["-O", "vmdk", "-c", "-o", "subformat=monolithicSparse"], "-c needs subformat=streamOptimized"),
        (["-O", "vdi", "-c"], "does not write vdi compressed"), (["-O", "qcow2", "-o", "=4"], "is not an option"),
        (["-O", "raw", "-S", "100"], "-S 100 is less than"),
    ]) func anOptionThatCanNotBeHadIsAnError(arguments: [String], text: String) throws {
        let outcome = try lathe(["convert", "-f", "raw"] + arguments + [source, directory.file("new")])
        #expect(outcome.status == 1)
        #expect(outcome.errors.hasPrefix("lathe: ") && outcome.errors.contains(text), "\(outcome.errors)")
        #expect(try directory.contents == ["source.raw"])
    }

    @Test func aDateThatIsEmptyIsAsGoodAsNone() throws {
        for (name, date) in [("none", [:]), ("empty", ["SOURCE_DATE_EPOCH": ""])] {
            let outcome = try lathe(
                "convert", "-f", "raw", "-O", "vhd", source, directory.file(name), environment: date)
            #expect(outcome.status == 0, "\(outcome.testDescription)")
        }
        let images = try ["none", "empty"].map { try Data(contentsOf: URL(filePath: directory.file($0))) }
        #expect(images[0] == images[1])
    }

    @Test(arguments: ["soon", "-1", "1.5"]) func aDateThatIsNoNumberIsAnError(date: String) throws {
        let outcome = try lathe(
            "convert", "-f", "raw", "-O", "vhd", source, directory.file("new"),
            environment: ["SOURCE_DATE_EPOCH": date])
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("SOURCE_DATE_EPOCH is '\(date)'"))
    }

    @Test(arguments: [
        [], ["-O", "qcow2"], ["-O", "foo", "a", "b"], ["-O", "raw", "-S", "x", "a", "b"],
        ["-O", "raw", "-S", "99P", "a", "b", "c"],
        ["-O", "raw", "--threads", "0", "a", "b"], ["-O", "raw", "--threads", "257", "a", "b"], ["--frob", "a", "b"],
        ["-O", "raw", "--progress", "loud", "a", "b"], ["-O", "raw", "--output", "xml", "a", "b"],
    ]) func aWrongCommandLineIsExit64(arguments: [String]) throws {
        let outcome = try lathe(["convert"] + arguments)
        #expect(outcome.status == 64, "\(outcome.testDescription)")
        #expect(outcome.output.isEmpty && outcome.errors.contains("convert --help"))
    }

    @Test func progressInJSONEndsAtTheTotal() throws {
        for verb in [["convert", "-O", "qcow2", source, directory.file("image.qcow2")], ["digest", source]] {
            let outcome = try lathe(verb + ["--progress", "json"])
            #expect(outcome.status == 0)
            let lines = try outcome.errors.split(separator: "\n").map {
                try JSONDecoder().decode(JSONValue.self, from: Data($0.utf8))
            }
            #expect(lines.allSatisfy { $0.keys.subtracting(["left", "total"]) == ["event", "done", "elapsed"] })
            #expect(lines.allSatisfy { $0["event"] == .text("progress") })
            #expect(lines.last?["done"]?.number == UInt64(try bytes("source.raw").count))
            #expect(lines.last?["total"] == lines.last?["done"])
        }
    }

    @Test func theBarEndsFullAndWithALineEnd() throws {
        let outcome = try lathe("convert", "-p", "-O", "qcow2", source, directory.file("image.qcow2"))
        #expect(outcome.errors.contains("] 100.0%  5.86 MiB"))
        #expect(outcome.errors.hasSuffix("\n"))
    }
}
