import ImageModel
import LatheTestSupport
import Testing

@testable import ImageFormats

/// The layouts that options ask for: sizes of clusters, widths of refcounts, subclusters, and packed clusters.
@Suite struct QCOW2EncoderTests {
    struct Layout: Sendable, CustomTestStringConvertible {
        var options: [String: String]
        var testDescription: String { options.sorted { $0.key < $1.key }.map { "\($0)=\($1)" }.joined(separator: ",") }
    }

    /// Each size of clusters with each width of refcounts, and with whatever else goes with them in turn.
    static let layouts: [Layout] =
        (9...21).flatMap { bits in
            ["1", "2", "4", "8", "16", "32", "64"].enumerated().map { index, width in
                var options = ["cluster_size": String(1 << bits), "refcount_bits": width]
                if (bits + index) % 2 == 0 { options["compress"] = "on" }
                if bits >= 14, (bits + index) % 4 < 2 { options["extended_l2"] = "on" }
                if index % 3 == 0 { options["compression_type"] = "zstd" }
                return Layout(options: options)
            }
        }
        + (9...21).map { Layout(options: ["cluster_size": String(1 << $0), "compat": "0.10", "compress": "on"]) }

    /// Stored lengths of all kinds: most units shrink, some by a byte, and some do not.
    private static func storedLength(_ unit: UInt64, of unitSize: UInt64, seed: UInt64) -> UInt64 {
        var generator = SeededGenerator(seed: seed &+ unit)
        switch UInt64.random(in: 0..<10, using: &generator) {
        case 0: return unitSize
        case 1: return unitSize - 1
        case 2: return UInt64.random(in: 1..<16, using: &generator)
        default: return UInt64.random(in: 1..<unitSize, using: &generator)
        }
    }

    private static func encoded(_ layout: Layout, units: [UInt64], unitCount: UInt64, seed: UInt64) throws
        -> EncodedImage
    {
        let parameters = EncoderParameters(contentLength: 512, virtualSize: 512)
        let encoder = try FormatCatalog.encoder(
            for: .qcow2, parameters: parameters, options: FormatOptions(layout.options))
        let size = unitCount * encoder.unitSize
        let isPlain = encoder.storage == .plain
        return try EncodedImage(.qcow2, virtualSize: size, units: units, options: layout.options) { unit in
            isPlain ? nil : storedLength(unit, of: encoder.unitSize, seed: seed)
        }
    }

    @Test(arguments: layouts) func everyLayoutGivesBackWhatWasPlacedAndItsRefcountsAreRight(layout: Layout) throws {
        for (seed, units) in allocationPatterns(unitCount: 700, seed: 71).enumerated() {
            try Self.encoded(layout, units: units, unitCount: 700, seed: UInt64(seed)).expectFaithful(.qcow2)
        }
    }

    /// What an encoder calls settled is not written to again, by units or by tables.
    @Test(arguments: layouts) func whatIsSettledStaysAsItIs(layout: Layout) throws {
        let units = (0..<200 as Range<UInt64>).filter { $0 % 7 != 3 }
        let size: UInt64 = 300 << 20
        var encoder = try FormatCatalog.encoder(
            for: .qcow2, parameters: EncoderParameters(contentLength: size, virtualSize: size),
            options: FormatOptions(layout.options))
        var open = encoder.unsettled
        for unit in units {
            var metadata: [MetadataSegment] = []
            let length =
                encoder.storage == .plain
                ? encoder.unitSize : Self.storedLength(unit, of: encoder.unitSize, seed: 72)
            let place = try encoder.place(unit: unit, storedLength: length, metadata: &metadata)
            let writes =
                metadata.map { FileRange(start: $0.offset, length: $0.length) }
                + [FileRange(start: place, length: length)]
            for write in writes { #expect(Self.isHeld(write, by: open), "unit \(unit): \(write) is not in \(open)") }
            open = encoder.unsettled
            for (one, next) in zip(open, open.dropFirst()) { #expect(one.end <= next.start) }
        }
        var metadata: [MetadataSegment] = []
        let identity = ContentIdentity(fingerprint: 1, virtualSize: size)
        _ = try encoder.finish(content: identity, metadata: &metadata)
        for segment in metadata {
            let write = FileRange(start: segment.offset, length: segment.length)
            #expect(write.isEmpty || Self.isHeld(write, by: open), "\(write) is not in \(open)")
        }
    }

    private static func isHeld(_ range: FileRange, by open: [FileRange]) -> Bool {
        open.contains { $0.start <= range.start && range.end <= $0.end }
    }

    /// No unit takes more room compressed than plain, whatever lies between: the length that is told beforehand is the greatest.
    @Test(arguments: layouts.filter { $0.options["compress"] == "on" })
    func noStoredLengthsMakeALongerFileThanPlainUnitsDo(layout: Layout) throws {
        let units = Array(0..<300 as Range<UInt64>)
        let plain = try EncodedImage(
            .qcow2, virtualSize: 300 << UInt64(21), units: units, options: layout.options)
        for seed in 73..<76 as Range<UInt64> {
            let packed = try EncodedImage(
                .qcow2, virtualSize: 300 << UInt64(21), units: units, options: layout.options
            ) { Self.storedLength($0, of: plain.unitSize, seed: seed) }
            #expect(packed.memory.length <= plain.memory.length)
        }
    }

    // MARK: - Packing

    private static let cluster: UInt64 = 64 << 10

    private func packed(_ lengths: [UInt64], _ options: [String: String] = [:]) throws -> [UInt64] {
        let options = options.merging(["compress": "on"]) { one, _ in one }
        let image = try EncodedImage(
            .qcow2, virtualSize: 64 << 20, units: Array(0..<UInt64(lengths.count)), options: options
        ) { lengths[Int($0)] }
        try image.expectFaithful(.qcow2)
        return image.places.sorted { $0.key < $1.key }.map(\.value.bytes)
    }

    @Test func unitsLieOneBehindTheOtherAcrossClusters() throws {
        #expect(try packed([40_000, 40_000, 40_000]) == [65_536, 105_536, 145_536])
    }

    @Test func aPlainClusterBetweenLeavesRoomThatIsFilledLater() throws {
        // 105,536 bytes end in cluster 2; the plain cluster is 3; 10,000 bytes go back to 2, 50,000 no longer fit there.
        let places = try packed([40_000, 40_000, Self.cluster, 10_000, 50_000, 20_000])
        #expect(places == [65_536, 105_536, 3 * Self.cluster, 145_536, 4 * Self.cluster, 4 * Self.cluster + 50_000])
    }

    @Test func aUnitThatEndsWithItsClusterLeavesNothingToGoBackTo() throws {
        #expect(try packed([40_000, 25_536, Self.cluster, 100]) == [65_536, 105_536, 131_072, 196_608])
    }

    @Test func noMoreUnitsShareAClusterThanItsRefcountCanSay() throws {
        let lengths = [UInt64](repeating: 1000, count: 8)
        let alone = try packed(lengths, ["refcount_bits": "1"])
        #expect(alone == (1...8).map { $0 * Self.cluster })
        let three = try packed(lengths, ["refcount_bits": "2"])
        #expect(three.map { $0 / Self.cluster } == [1, 1, 1, 2, 2, 2, 3, 3])
        let fifteen = try packed([UInt64](repeating: 100, count: 31), ["refcount_bits": "4"])
        #expect(fifteen.map { $0 / Self.cluster }.last == 3 && fifteen[14] / Self.cluster == 1)
    }

    @Test func aCompressedEntrySaysItsPlaceAndItsSectors() throws {
        let image = try EncodedImage(
            .qcow2, virtualSize: 1 << 20, units: [0, 1], options: ["compress": "on"]
        ) { $0 == 0 ? 700 : 513 }
        // Data is in cluster 1, and the L2 table behind it; 62 - (16 - 8) = 54 bits are the place.
        let table = 2 * Self.cluster
        #expect(image.memory[table..<table + 8].bigEndian(UInt64.self, at: 0) == UInt64(1) << 62 | 1 << 54 | 65_536)
        // From byte 188 of a sector on: it and one more.
        #expect(
            image.memory[table + 8..<table + 16].bigEndian(UInt64.self, at: 0) == UInt64(1) << 62 | 1 << 54 | 66_236)
    }

    @Test func aPackedFileEndsWithTheSectorInWhichItsL1TableEnds() throws {
        let image = try EncodedImage(.qcow2, virtualSize: 1 << 30, units: [0], options: ["compress": "on"]) { _ in 9 }
        // Header, data, L2, refcount block, refcount table, and two entries of L1.
        #expect(image.memory.length == 5 * Self.cluster + 512)
        try image.expectFaithful(.qcow2)
    }

    @Test func anEmptyDiskCanBeCompressed() throws {
        let image = try EncodedImage(.qcow2, virtualSize: 0, units: [], options: ["compress": "on"])
        #expect(image.memory.length == 3 * Self.cluster)
        try image.expectFaithful(.qcow2)
    }

    /// Blocks of refcounts go out while units are placed: no more than two are held, however many there are.
    @Test func refcountsOfPackedClustersAreNotHeld() throws {
        let options = ["compress": "on", "cluster_size": "512", "refcount_bits": "64"]
        let size: UInt64 = 64 << 20
        var encoder = try QCOW2Encoder(
            parameters: EncoderParameters(contentLength: size, virtualSize: size), options: FormatOptions(options))
        var metadata: [MetadataSegment] = []
        for unit in 0..<20_000 as Range<UInt64> {
            _ = try encoder.place(
                unit: unit, storedLength: Self.storedLength(unit, of: 512, seed: 74), metadata: &metadata)
            #expect((encoder.ledger?.open.count ?? .max) <= 2)
            metadata.removeAll()
        }
        #expect((encoder.ledger?.placedCount ?? 0) > 100)
    }

    // MARK: - Subclusters

    @Test func subclustersTakeTheirPlacesInTheClusterOfTheFirst() throws {
        let sub: UInt64 = 2048
        let image = try EncodedImage(
            .qcow2, virtualSize: 1 << 20, units: [3, 5, 31, 32, 64 + 31], options: ["extended_l2": "on"])
        #expect(image.unitSize == sub)
        #expect(
            image.places.mapValues(\.bytes) == [
                3: 65_536 + 3 * sub, 5: 65_536 + 5 * sub, 31: 65_536 + 31 * sub, 32: 131_072, 95: 196_608 + 31 * sub,
            ])
        try image.expectFaithful(.qcow2)
        let table = image.memory[4 * Self.cluster..<4 * Self.cluster + 48]
        #expect(table.bigEndian(UInt64.self, at: 0) == UInt64(1) << 63 | 65_536)
        #expect(table.bigEndian(UInt64.self, at: 8) == UInt64(1) << 3 | 1 << 5 | 1 << 31)
        #expect(table.bigEndian(UInt64.self, at: 24) == 1)
    }

    // MARK: - Versions and refusals

    @Test func version2HasNoneOfTheFieldsOfVersion3() throws {
        let image = try EncodedImage(.qcow2, virtualSize: 1 << 20, units: [0], options: ["compat": "v2"])
        #expect(image.memory[4..<8] == [0, 0, 0, 2])
        #expect(image.memory[72..<Self.cluster].isZero)
        try image.expectFaithful(.qcow2)
    }

    @Test func zstdIsAFeatureAndAFieldAlsoWhereNothingIsCompressed() throws {
        for compress in ["on", "off"] {
            let image = try EncodedImage(
                .qcow2, virtualSize: 1 << 20, units: [0],
                options: ["compression_type": "zstd", "compress": compress])
            #expect(image.memory[72..<80] == [0, 0, 0, 0, 0, 0, 0, 8] && image.memory[104..<105] == [1])
            try image.expectFaithful(.qcow2)
        }
    }

    private static func settled(_ options: [String: String], size: UInt64 = 1 << 30) throws -> (
        options: [String: String], storage: UnitStorage
    ) {
        let encoder = try QCOW2Encoder(
            parameters: EncoderParameters(contentLength: size, virtualSize: size), options: FormatOptions(options))
        return (encoder.options, encoder.storage)
    }

    @Test func everyOptionComesToOneSpelling() throws {
        let plain = try Self.settled([:])
        #expect(plain.storage == .plain)
        #expect(
            plain.options == [
                "compat": "1.1", "cluster_size": "65536", "refcount_bits": "16", "extended_l2": "off",
                "compression_type": "zlib", "compress": "off",
            ])
        for (given, key, expected) in [
            ("2M", "cluster_size", "2097152"), ("512", "cluster_size", "512"), ("4K", "cluster_size", "4096"),
            ("65536b", "cluster_size", "65536"), ("v3", "compat", "1.1"), ("V2", "compat", "0.10"),
            ("true", "extended_l2", "on"), ("ZSTD", "compression_type", "zstd"), ("64", "refcount_bits", "64"),
        ] {
            #expect(try Self.settled([key: given]).options[key] == expected, "\(key)=\(given)")
        }
        // What it came to makes the same encoder again.
        let asked = try Self.settled(["compression_level": "6", "cluster_size": "2M"])
        #expect(try Self.settled(asked.options) == asked)
    }

    @Test func levelsChooseTheLibrary() throws {
        func compression(_ options: [String: String]) throws -> UnitCompression? {
            guard case .compressed(let compression) = try Self.settled(options).storage else { return nil }
            return compression
        }
        #expect(try compression(["compression_type": "zstd"]) == nil, "a type alone compresses nothing")
        let levels = try (1...9).map { try compression(["compression_level": "\($0)"]) }
        #expect(levels.map { $0?.library } == [.isal, .isal] + [UnitCompression.Library](repeating: .zlib, count: 7))
        #expect(levels.map { $0?.level } == [1, 2, 3, 6, 6, 6, 7, 8, 9])
        #expect(levels.allSatisfy { $0?.windowBits == 12 && $0?.keepsIncompressible == true })
        #expect(try compression(["compress": "on"]) == levels[0])
        let zstd = try compression(["compress": "on", "compression_type": "zstd"])
        #expect(zstd?.library == .zstd && zstd?.level == 3 && zstd?.keepsIncompressible == true)
    }

    @Test(
        arguments: [
            (["cluster_size": "256"], "a power of two from 512 to 2M"), (["cluster_size": "4M"], "a power of two"),
            (["cluster_size": "3k"], "a power of two"), (["cluster_size": "x"], "a power of two"),
            (["cluster_size": "99999999999T"], "a power of two"),
            (["refcount_bits": "3"], "1, 2, 4, 8, 32, 64"), (["compat": "0.11"], "0.10"),
            (["compat": "0.10", "refcount_bits": "8"], "compat=0.10 does not have refcount_bits=8"),
            (["compat": "0.10", "extended_l2": "on"], "compat=0.10 does not have extended_l2=on"),
            (["compat": "0.10", "compression_type": "zstd"], "compat=0.10 does not have compression_type=zstd"),
            (["extended_l2": "on", "cluster_size": "8k"], "16384 or more"),
            (["compression_level": "0"], "1 to 9"), (["compression_level": "10"], "1 to 9"),
            (["compression_level": "20", "compression_type": "zstd"], "1 to 19"),
            (["compression_level": "1", "compress": "off"], "leave one out"), (["compress": "maybe"], "can be off, on"),
            (["preallocation": "full"], "qcow2 has no option 'preallocation'"),
        ] as [([String: String], String)])
    func whatCannotBeWrittenIsRefused(options: [String: String], words: String) {
        let error = #expect(throws: ImageError.self) { _ = try Self.settled(options) }
        #expect(error?.code == .invalidOption && error?.message.contains(words) == true, "\(error?.message ?? "")")
    }

    @Test func aDiskThatIsTooLargeForItsClustersIsRefusedWithWhatToDo() throws {
        let limit: UInt64 = (4 << 20) * 64 * 512
        #expect(try Self.settled(["cluster_size": "512"], size: limit).storage == .plain)
        let error = #expect(throws: ImageError.self) {
            _ = try Self.settled(["cluster_size": "512"], size: limit + 512)
        }
        #expect(error?.code == .limitExceeded && error?.message.contains("take a larger cluster_size") == true)
        let extended = #expect(throws: ImageError.self) {
            _ = try Self.settled(["extended_l2": "on", "cluster_size": "16k"], size: 1 << 48)
        }
        #expect(extended?.message.contains("extended_l2=on") == true)
    }

    @Test func aFileOfMoreClustersThanCanBeCountedIsRefusedBeforeItIsWritten() throws {
        let size: UInt64 = 1 << 30
        var encoder = try QCOW2Encoder(
            parameters: EncoderParameters(contentLength: size, virtualSize: size),
            options: FormatOptions(["cluster_size": "512", "refcount_bits": "64"]))
        // 64 refcounts a block, and a million blocks in a table of 8 MiB.
        #expect(encoder.maximumClusters == 64 << 20)
        encoder.maximumClusters = 1000
        let error = #expect(throws: ImageError.self) {
            var metadata: [MetadataSegment] = []
            for unit in 0..<1001 as Range<UInt64> {
                _ = try encoder.place(unit: unit, storedLength: 512, metadata: &metadata)
            }
        }
        #expect(error?.code == .limitExceeded && error?.message.contains("refcount_bits=64") == true)
    }
}
