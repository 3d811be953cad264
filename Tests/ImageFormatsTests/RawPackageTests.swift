import ImageFormats
import ImageModel
import LatheTestSupport
import Testing

@Suite struct RawPackageTests {
    static let unit: UInt64 = 1 << 20
    /// 20 bytes of gzip header, 5 of a stored block's, the tar header, CRC-32 and length.
    static let head: UInt64 = 20 + 5 + 512 + 8
    /// A unit of zeros, as the encoder makes it.
    static let zeroUnit: UInt64 = 1074

    static func image(size: UInt64, units: [UInt64] = [], options: [String: String] = [:]) throws -> EncodedImage {
        try EncodedImage(.rawPackage, virtualSize: size, units: units, options: options) { index in
            // What a unit of no content could come to; less for a last one that is short.
            (index + 1) * unit <= size ? 5000 : 8 + size % unit
        }
    }

    static func refusal(_ source: some ImageSource) throws -> ImageError {
        try #require(throws: ImageError.self) { try FormatCatalog.reader(for: .rawPackage, source: source) }
    }

    // MARK: The layout

    @Test func membersFollowEachOtherAndSayTheirLengths() throws {
        let image = try Self.image(size: 5 * Self.unit, units: [1, 2])
        let first = Self.head + Self.zeroUnit
        #expect(image.places == [1: FileOffset(first + 20), 2: FileOffset(first + 20 + 5020)])
        let head = image.memory[0..<20]
        // ID1, ID2, CM 8, FLG 4 (FEXTRA), MTIME, XFL, OS 255, XLEN 8, "LT", 4, 545.
        #expect(head == [0x1F, 0x8B, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0, 0x4C, 0x54, 4, 0, 0x21, 2, 0, 0])
        // The same, and 5020.
        #expect(image.memory[first..<first + 20] == head.prefix(16) + [0x9C, 0x13, 0, 0])
        try image.expectFaithful(.rawPackage)
    }

    @Test func theTarHeaderIsThatOfOneFileOfNobodyAndOfThisTime() throws {
        let size: UInt64 = 7_000_065
        let encoded = try Self.encoded(size, ["member": "a-disk.raw"], timestamp: 1_000_000_000)
        let header = encoded[25..<537]
        func text(_ range: Range<UInt64>) -> String {
            String(decoding: encoded[25 + range.lowerBound..<25 + range.upperBound].filter { $0 != 0 }, as: UTF8.self)
        }
        #expect(text(0..<100) == "a-disk.raw")
        #expect(text(100..<108) == "0000644")
        #expect(text(108..<116) == "0000000" && text(116..<124) == "0000000")
        #expect(text(124..<136) == "00032550001" && text(136..<148) == "07346545000")
        #expect(text(156..<157) == "0" && text(157..<257) == "")
        #expect(Array(header[257..<265]) == Array("ustar\u{0}00".utf8))
        #expect(header[265..<512].filter { $0 != 0 && $0 != UInt8(ascii: "0") } == [])
        // The sum of all bytes with blanks in place of the sum.
        let sum = header.enumerated().reduce(0) { $0 + ((148..<156).contains($1.offset) ? 32 : Int($1.element)) }
        #expect(text(148..<156) == (String(repeating: "0", count: 6) + String(sum, radix: 8)).suffix(6) + " ")
    }

    /// Runs the encoder over a disk of zeros.
    static func encoded(
        _ size: UInt64, _ options: [String: String] = [:], timestamp: UInt64 = EncoderParameters.defaultTimestamp
    ) throws -> SparseMemory {
        let parameters = EncoderParameters(
            contentLength: size, virtualSize: (size + 511) / 512 * 512, timestamp: timestamp)
        var encoder = try FormatCatalog.encoder(
            for: .rawPackage, parameters: parameters, options: FormatOptions(options))
        var metadata: [MetadataSegment] = []
        let length = try encoder.finish(
            content: ContentIdentity(fingerprint: 0, virtualSize: size), metadata: &metadata)
        var memory = SparseMemory(name: "package")
        for segment in metadata { try memory.write(segment) }
        #expect(memory.length == length)
        return memory
    }

    @Test(
        arguments: [
            (8_589_934_591, "ustar\u{0}00", [55, 55, 55, 55, 55, 55, 55, 55, 55, 55, 55, 0]),
            (8_589_934_592, "ustar  \u{0}", [0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]),
        ] as [(UInt64, String, [UInt8])])
    func aSizeThatElevenOctalDigitsDoNotHoldIsInBase256(size: UInt64, magic: String, field: [UInt8]) throws {
        let encoded = try Self.encoded(size)
        #expect(encoded[25 + 124..<25 + 136] == field)
        #expect(encoded[25 + 257..<25 + 265] == Array(magic.utf8))
        #expect(try FormatCatalog.reader(for: .rawPackage, source: encoded).contentLength == size)
    }

    @Test func aTimeThatElevenOctalDigitsDoNotHoldIsInBase256() throws {
        for timestamp: UInt64 in [0, 8_589_934_591, 8_589_934_592, .max] {
            let reader = try FormatCatalog.reader(
                for: .rawPackage, source: Self.encoded(512, timestamp: timestamp))
            #expect(reader.details.contains(FormatDetail("timestamp", .text(String(timestamp)))))
        }
    }

    @Test func zerosTakeLittleMoreThanAThousandth() throws {
        #expect(try Self.encoded(1 << 40).length < (1 << 40) / 1024 * 11 / 10)
        // A whole disk of them is one segment.
        let image = try Self.image(size: 1 << 40)
        #expect(image.metadata.count == 3)
        #expect(image.metadata[1].length == Self.zeroUnit << 20)
    }

    @Test func archivesEndWithAWholeRecord() throws {
        // 10240 bytes of them are two records, with the header and the end.
        for (size, records) in [(0, 1), (1, 1), (8704, 1), (8705, 2), (10240, 2), (18944, 2), (18945, 3)]
            as [(UInt64, UInt64)]
        {
            let encoded = try Self.encoded(size)
            let tail: UInt32 = encoded[encoded.length - 4..<encoded.length].littleEndian(at: 0)
            #expect(512 + size + UInt64(tail) == records * 10240, "\(size)")
        }
    }

    // MARK: Allocations

    @Test(arguments: [0, 512, 1 << 20, 1 << 20 | 512, 70 << 20 | 1024] as [UInt64])
    func everyAllocationIsReadBack(size: UInt64) throws {
        let count = (size + Self.unit - 1) / Self.unit
        for units in allocationPatterns(unitCount: count, seed: 7) {
            for batch in [1, 1000] {
                try Self.image(size: size, units: units).expectFaithful(.rawPackage, batch: batch)
            }
        }
    }

    @Test func zeroUnitsAreKnownByTheirBytes() throws {
        var image = try Self.image(size: 3 * Self.unit, units: [1])
        #expect(try image.extents(.rawPackage).map(\.mapping.readsAsZero) == [true, false, true])
        // A flipped bit in their stream makes them content, which is then found to be damaged.
        image.memory.write([image.memory[Self.head + 500..<Self.head + 501][0] ^ 1], at: Self.head + 500)
        #expect(try image.extents(.rawPackage).map(\.mapping.readsAsZero) == [false, false, true])
    }

    @Test func aLengthWithinASectorIsKept() throws {
        for size: UInt64 in [1, 511, 513, 1_000_001, 3 << 20 | 7] {
            let memory = try Self.encoded(size)
            let reader = try FormatCatalog.reader(for: .rawPackage, source: memory)
            #expect(reader.contentLength == size && reader.virtualSize == (size + 511) / 512 * 512)
            #expect(FormatCatalog.check(memory, as: .rawPackage).warnings == 1)
        }
    }

    // MARK: Options

    @Test func aPackageOfRawIsTheSameAsTheFormat() throws {
        let parameters = EncoderParameters(contentLength: 1 << 20, virtualSize: 1 << 20, timestamp: 5)
        let options = FormatOptions(["package": "TAR.GZ", "member": "x", "compression_level": "6"])
        let encoder = try FormatCatalog.encoder(for: .raw, parameters: parameters, options: options)
        #expect(encoder.storage == .compressed(UnitCompression(.gzip, by: .libdeflate, level: 6)))
        #expect(
            encoder.options == ["package": "tar.gz", "member": "x", "compression_level": "6", "timestamp": "5"])
        #expect(FormatCatalog.writtenFormat(of: .raw, options: options) == .rawPackage)
        #expect(FormatCatalog.writtenFormat(of: .raw, options: FormatOptions(["package": "none"])) == .raw)
        #expect(FormatCatalog.writtenFormat(of: .qcow2, options: options) == .qcow2)
        let plain = try FormatCatalog.encoder(
            for: .raw, parameters: parameters, options: FormatOptions(["package": "none"]))
        #expect(plain.options == [:] && plain.storage == .plain)
    }

    @Test(arguments: [
        (["package": "zip"], "package can be none, tar.gz"), (["member": "x"], "raw has no option 'member'"),
        (["package": "tar.gz", "member": "a/b"], "without a path"), (["package": "tar.gz", "member": ".."], "a path"),
        (["package": "tar.gz", "member": ""], "1 to 100 bytes"),
        (["package": "tar.gz", "member": "a\nb"], "control"), (["package": "tar.gz", "member": "a\u{0}b"], "control"),
        (["package": "tar.gz", "member": String(repeating: "ä", count: 51)], "1 to 100 bytes"),
        (["package": "tar.gz", "compression_level": "0"], "1 to 12"),
        (["package": "tar.gz", "subformat": "x"], "no option 'subformat'; it has compression_level, member, package"),
    ]) func optionsThatCannotBeHadAreRefused(options: [String: String], words: String) throws {
        let parameters = EncoderParameters(contentLength: 512, virtualSize: 512)
        let error = try #require(throws: ImageError.self) {
            try FormatCatalog.encoder(for: .raw, parameters: parameters, options: FormatOptions(options))
        }
        #expect(error.code == .invalidOption && error.message.contains(words), "\(error)")
    }

    @Test func theLongestNamesAreRead() throws {
        for name in [String(repeating: "n", count: 100), String(repeating: "ü", count: 50), "-", "a b,c=d"] {
            let reader = try FormatCatalog.reader(for: .rawPackage, source: Self.encoded(512, ["member": name]))
            #expect(reader.details.contains(FormatDetail("member", .text(name))))
        }
    }
}

/// Packages of others, and packages that were damaged.
@Suite struct RawPackageDamageTests {
    @Test func aGzipFileOfAnotherProgramIsToBeUnpackedFirst() throws {
        // As gzip writes it, with the name of the file.
        let foreign = SparseMemory(
            [0x1F, 0x8B, 8, 8, 0, 0, 0, 0, 0, 3] + Array("disk.raw\0".utf8) + [3, 0] + [UInt8](repeating: 0, count: 600)
        )
        let error = try RawPackageTests.refusal(foreign)
        #expect(error.code == .unsupported && error.message.contains("unpack it first"))
        // One that is shorter than our header, which is not cut short for that.
        var short = foreign
        short.truncate(to: 30)
        #expect(try RawPackageTests.refusal(short).code == .unsupported)
        for name in ["disk", "disk.tar.gz", "-", "disk.gz"] {
            let detected = try #require(throws: ImageError.self) { try FormatDetection.detect(foreign, name: name) }
            #expect(detected.code == .unsupported && detected.message.contains("unpack it first"), "\(name)")
        }
        let named = try #require(throws: ImageError.self) { try FormatDetection.detect(foreign, name: "disk.raw") }
        #expect(named.code == .ambiguousFormat && named.message.contains("gzip header"))
    }

    @Test func ourOwnIsDetected() throws {
        let image = try RawPackageTests.image(size: 4 << 20, units: [1])
        for name in ["disk", "-", "disk.raw.tar.gz", "disk.TGZ"] {
            #expect(try FormatDetection.detect(image.memory, name: name) == .rawPackage)
        }
        for name in ["disk.raw", "disk.qcow2"] {
            let error = try #require(throws: ImageError.self) { try FormatDetection.detect(image.memory, name: name) }
            #expect(error.code == .ambiguousFormat)
        }
        let error = try #require(throws: ImageError.self) {
            try FormatDetection.detect(SparseMemory([1, 2, 3]), name: "disk.tar.gz")
        }
        #expect(error.code == .ambiguousFormat)
    }

    /// Lengths that no unit can have must not send the walk anywhere.
    @Test(arguments: [0, 1, 27, 1043, 1_050_773, 1 << 31, .max] as [UInt32])
    func aLengthThatNoUnitCanHaveIsRefused(length: UInt32) throws {
        var image = try RawPackageTests.image(size: 3 << 20, units: [0])
        var bytes: [UInt8] = [0, 0, 0, 0]
        bytes.storeLittleEndian(length, at: 0)
        image.memory.write(bytes, at: RawPackageTests.head + 16)
        let error = try RawPackageTests.refusal(image.memory)
        #expect(error.code == .corrupt && error.offset == FileOffset(RawPackageTests.head), "\(error)")
        #expect(FormatCatalog.check(image.memory, as: .rawPackage).corruptions == 1)
    }

    @Test func aSizeThatTheMembersDoNotBearOutIsRefused() throws {
        // Lengthened and shortened, with all checksums right: the tar header of another disk in front.
        let image = try RawPackageTests.image(size: 3 << 20, units: [0])
        for size: UInt64 in [1 << 20, 2 << 20, 4 << 20, 1 << 62, (1 << 63) - 1, 1 << 63, .max - 512, .max] {
            var damaged = image
            damaged.memory.write(try Self.head(size: size), at: 0)
            let code = try RawPackageTests.refusal(damaged.memory).code
            #expect([.corrupt, .truncated, .limitExceeded].contains(code), "\(size): \(code)")
            DamageTests.readAll(damaged.memory, .rawPackage)
        }
    }

    /// The first member of a package of a disk of some size, which need not be possible.
    private static func head(size: UInt64) throws -> [UInt8] {
        var encoder = try FormatCatalog.encoder(
            for: .rawPackage, parameters: EncoderParameters(contentLength: size, virtualSize: size), options: .init())
        var metadata: [MetadataSegment] = []
        _ = try encoder.place(unit: 0, storedLength: 5000, metadata: &metadata)
        guard case .bytes(let bytes) = metadata[0].content else { return [] }
        return bytes
    }

    @Test func anotherKindOfFileIsNoDisk() throws {
        // A link in place of a file, with the checksum made right.
        var memory = try RawPackageTests.encoded(512)
        memory.write([UInt8(ascii: "2")], at: 25 + 156)
        #expect(try RawPackageTests.refusal(memory).message.contains("one regular file"))
    }

    @Test func whatFollowsTheArchiveIsAFinding() throws {
        var image = try RawPackageTests.image(size: 3 << 20, units: [0])
        image.memory.write([1, 2, 3], at: image.memory.length)
        let report = FormatCatalog.check(image.memory, as: .rawPackage)
        #expect(report.corruptions == 1)
        #expect(report.findings.first?.message.contains("is 3 bytes, expected the end of the file") == true)
    }
}
