import Foundation
import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import Testing

@Suite struct ManifestTests {
    private static let source = SparseMemory(SampleDisk.numbered(length: 9 << 20, seed: 91))

    private static func manifest(
        _ variant: OutputVariant, threads: Int = 2, policy: SparsePolicy = .allHoles, timestamp: UInt64 = 1_000_000_000
    ) throws -> Manifest {
        let image = try DiskImage(Self.source, format: .raw)
        let conversion = Conversion(
            image, to: variant.format, options: FormatOptions(variant.options), sparsePolicy: policy,
            timestamp: timestamp, checksums: [.sha256, .sha256Tree], work: WorkOptions(threads: threads))
        let sink = MemorySink()
        let result = try conversion.run(into: sink)
        let object = try DiskImage.checksums(ofBytesOf: sink.memory, conversion.checksums)
        return try Manifest(conversion, result, object: object)
    }

    private static func refusal(_ text: String) -> ImageError? {
        #expect(throws: ImageError.self) { try Manifest(Array(text.utf8)) }
    }

    @Test(arguments: OutputVariant.all) func aManifestReadsBackAsItWasWritten(variant: OutputVariant) throws {
        let manifest = try Self.manifest(variant)
        #expect(try Manifest(manifest.encoded()) == manifest)
        #expect(manifest.parts.crc64ecma.count == Int((manifest.objectLength + (8 << 20) - 1) >> 23))
    }

    @Test(arguments: OutputVariant.all) func aManifestIsTheSameTextOnEveryRun(variant: OutputVariant) throws {
        let first = try Self.manifest(variant, threads: 1).encoded()
        for threads in [2, 5] { #expect(try Self.manifest(variant, threads: threads).encoded() == first) }
    }

    @Test func optionsAreThoseThatDecideAboutTheBytes() throws {
        let all = OutputVariant.all
        func options(_ name: String, policy: SparsePolicy = .allHoles) throws -> [String: String] {
            let variant = try #require(all.first { $0.name == name })
            return try Self.manifest(variant, policy: policy).options
        }
        #expect(try options("raw") == [:])
        #expect(try options("raw", policy: .noHoles) == ["sparse_size": "0"])
        #expect(try options("raw", policy: .holesOfAtLeast(65536)) == [:])
        #expect(try options("vhd") == ["subformat": "dynamic", "block_size": "2097152", "timestamp": "1000000000"])
        let qcow2 = [
            "compat": "1.1", "cluster_size": "65536", "refcount_bits": "16", "extended_l2": "off",
            "compression_type": "zlib",
        ]
        #expect(try options("qcow2") == qcow2.merging(["compress": "off"]) { $1 })
        #expect(
            try options("qcow2-compress") == qcow2.merging(["compress": "on", "compression_level": "1"]) { $1 })
        #expect(try options("vdi") == ["subformat": "dynamic", "static": "off"])
        #expect(try options("vdi-static") == ["subformat": "static", "static": "on"])
        #expect(
            try options("vmdk-streamOptimized") == [
                "subformat": "streamOptimized", "adapter_type": "ide", "hwversion": "8", "compression_level": "5",
            ])
        #expect(
            try options("vmdk") == ["subformat": "monolithicSparse", "adapter_type": "ide", "hwversion": "4"])
    }

    @Test func namesOfOneOptionAreSettledAlike() throws {
        let short = try Self.manifest(OutputVariant.all.first { $0.name == "qcow2" } ?? OutputVariant.all[0])
        let image = try DiskImage(Self.source, format: .raw)
        let options = FormatOptions(["cluster_size": "64k", "compat": "v3"])
        let encoder = try Conversion(image, to: .qcow2, options: options).makeEncoder()
        #expect(encoder.options == short.options)
    }

    @Test func whatIsNoManifestIsRefusedWithASentence() throws {
        let variant = try #require(OutputVariant.all.first { $0.name == "qcow2" })
        let text = String(decoding: try Self.manifest(variant).encoded(), as: UTF8.self)
        func changed(_ from: String, _ to: String) throws -> String {
            let range = try #require(text.range(of: from), "\(from)")
            return text.replacingCharacters(in: range, with: to)
        }
        let cases: [(String, ImageError.Code, String)] = [
            ("", .corrupt, "not JSON"), ("[]", .corrupt, "something else"), ("{}", .corrupt, "no 'schema'"),
            ("{\"schema\": 1}", .corrupt, "'schema'"), ("\u{0}\u{0}", .corrupt, "not JSON"),
            (String(repeating: "[", count: 100_000), .corrupt, "manifest"),
            (try changed("manifest/1", "manifest/2"), .unsupported, "expected 'lathe.manifest/1'"),
            (try changed("lathe.manifest/1", "other/1"), .corrupt, "expected 'lathe.manifest/1'"),
            (try changed("\"qcow2\"", "\"qcow3\""), .unsupported, "qcow3"),
            (try changed("\"virtualSize\" : ", "\"virtualSize\" : -"), .corrupt, "no manifest"),
            (try changed("\"virtualSize\" : 9437184", "\"virtualSize\" : 9437185"), .corrupt, "multiple of 512"),
            (try changed("\"virtualSize\" : 9437184", "\"virtualSize\" : 9437696"), .corrupt, "source"),
            (
                try changed("\"virtualSize\" : 9437184", "\"virtualSize\" : 9223372036854775808"), .corrupt,
                "virtual size"
            ),
            (try changed("\"virtualSize\" : ", "\"virtualSize\" : 9999999999999999"), .corrupt, "manifest"),
            (try changed("\"sourceLength\" : ", "\"sourceLength\" : \"\", \"x\" : "), .corrupt, "sourceLength"),
            (try changed("\"length\" : 8388608", "\"length\" : 0"), .corrupt, "4096"),
            (try changed("\"length\" : 8388608", "\"length\" : 4096"), .corrupt, "parts"),
            (try changed("\"crc64ecma\" : \"", "\"crc64ecma\" : \"0"), .corrupt, "content.crc64ecma"),
            (try changed("\"crc64ecma\" : \"", "\"crc64ecma\" : \"x"), .corrupt, "content.crc64ecma"),
            (try changed("\"sha256\" : \"", "\"sha256\" : \"F"), .corrupt, "SHA-256"),
            (try changed("\"parts\"", "\"bits\""), .corrupt, "no 'parts'"),
        ]
        for (text, code, words) in cases {
            let error = Self.refusal(text)
            #expect(
                error?.code == code && error?.message.contains(words) ?? false, "\(words): \(String(describing: error))"
            )
        }
    }

    @Test func partsThatDoNotAddUpAreRefused() throws {
        var manifest = try Self.manifest(OutputVariant.all[0])
        manifest.parts.crc64ecma[1] ^= 1
        let text = try String(decoding: manifest.encoded(), as: UTF8.self)
        #expect(Self.refusal(text)?.message.contains("add up") == true)
    }

    @Test func everyCutOfAManifestIsRefused() throws {
        let bytes = try Self.manifest(OutputVariant.all[0]).encoded()
        for length in 0..<bytes.count - 2 {
            #expect(throws: ImageError.self, "\(length)") { try Manifest(Array(bytes[..<length])) }
        }
    }

    @Test func aFileTooLongForAManifestIsNotRead() throws {
        struct Long: ImageSource {
            let name = "long"
            let length: UInt64 = 1 << 40
            func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result)
                throws(ImageError) -> Result
            {
                throw ImageError(.inputOutput, "it was read")
            }
        }
        let error = #expect(throws: ImageError.self) { try Manifest(source: Long()) }
        #expect(error?.code == .limitExceeded)
    }
}
