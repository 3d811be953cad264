import Foundation
import ImageCodecs
import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import Testing

/// The bytes of today are those of every other day: SHA-256 of each layout of each shape, kept in `testdata/`.
@Suite struct GoldenTests {
    static let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "testdata/golden-images.sha256")

    static let shapes: [(name: String, content: [UInt8])] = [
        ("empty", []),
        ("one-sector", SampleDisk.full(length: 512, seed: 2)),
        ("odd-length", SampleDisk.mixed(length: 1_000_001, seed: 3)),
        ("zero", [UInt8](repeating: 0, count: 3 << 20)),
        ("full", SampleDisk.full(length: 2 << 20 | 512, seed: 4)),
        ("alternating", SampleDisk.alternating(length: 5 << 20, period: 12_288)),
        ("data-at-the-end", [UInt8](repeating: 0, count: 4 << 20) + SampleDisk.full(length: 512, seed: 5)),
        ("mixed", SampleDisk.mixed(length: 6 << 20, seed: 6)),
    ]

    /// Those of all tests, and further layouts whose bytes are kept.
    static let variants =
        OutputVariant.all + [
            OutputVariant(.qcow2, ["compat": "0.10"]), OutputVariant(.qcow2, ["cluster_size": "512"]),
            OutputVariant(.qcow2, ["cluster_size": "2M", "refcount_bits": "1", "compress": "on"]),
            OutputVariant(.qcow2, ["cluster_size": "4k", "refcount_bits": "64", "compression_level": "2"]),
            OutputVariant(.qcow2, ["compression_level": "3"]), OutputVariant(.qcow2, ["compression_level": "6"]),
            OutputVariant(.qcow2, ["extended_l2": "on", "compress": "on", "compression_type": "zstd"]),
        ]

    static func digests() throws -> [String: String] {
        var digests: [String: String] = [:]
        for shape in shapes {
            for variant in variants {
                let made = try ByteIdentityTests.convert(SparseMemory(shape.content), variant, threads: 2)
                var digest = SHA256Digest()
                digest.update(made.sink.bytes.span)
                digests["\(shape.name).\(variant.name)"] = digest.hexadecimal()
            }
            // Of several files, all bytes of one behind those of the other.
            for variant in OutputVariant.ofSeveralFiles {
                let made = try ByteIdentityTests.convert(SparseMemory(shape.content), variant, threads: 2)
                var digest = SHA256Digest()
                for file in made.sink.files { digest.update(file[0..<file.length].span) }
                digests["\(shape.name).\(variant.name)"] = digest.hexadecimal()
            }
        }
        return digests
    }

    /// With LATHE_WRITE_GOLDENS=1 the file is written anew; a change of it wants its reason in the commit.
    @Test func everyLayoutOfEveryShapeIsAsItWas() throws {
        let digests = try Self.digests()
        if ProcessInfo.processInfo.environment["LATHE_WRITE_GOLDENS"] == "1" {
            let lines = digests.sorted { $0.key < $1.key }.map { "\($0.value)  \($0.key)\n" }
            try lines.joined().write(to: Self.file, atomically: true, encoding: .utf8)
        }
        let kept = try String(contentsOf: Self.file, encoding: .utf8)
        var golden: [String: String] = [:]
        for line in kept.split(separator: "\n") {
            let parts = line.split(separator: " ").map(String.init)
            golden[parts[1]] = parts[0]
        }
        if OutputVariant.onlyFormat == nil {
            #expect(golden.count == Self.shapes.count * (Self.variants.count + OutputVariant.ofSeveralFiles.count))
        }
        for (name, digest) in digests.sorted(by: { $0.key < $1.key }) { #expect(golden[name] == digest, "\(name)") }
    }
}
