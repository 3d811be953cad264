import ImageFormats
import ImageModel
import LatheTestSupport
import Testing

/// A raw disk in a `.gz` or `.zst`: where the units are, and what is not taken for one.
@Suite struct PlainPackageTests {
    static let unit: UInt64 = 1 << 20

    /// What a package begins with, the header of a unit without its length, and what stands behind the last unit.
    struct Layout: CustomTestStringConvertible {
        var format: ImageFormat
        var head: [UInt8]
        var header: [UInt8]
        var tailStart: [UInt8]
        var tailEnd: [UInt8]
        /// Bytes of a unit of zeros.
        var zeroUnit: UInt64
        var testDescription: String { format.rawValue }
    }

    static let gzip = Layout(
        format: .rawGzip, head: [],
        // ID1, ID2, CM 8, FLG 4 (FEXTRA), MTIME, XFL, OS 255, XLEN 8, "LR", 4.
        header: [0x1F, 0x8B, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0, 0x4C, 0x52, 4, 0],
        tailStart: [0x1F, 0x8B, 8, 4, 0, 0, 0, 0, 0, 255, 12, 0, 0x4C, 0x45, 8, 0],
        tailEnd: [3, 0, 0, 0, 0, 0, 0, 0, 0, 0], zeroUnit: 1074)
    static let zstandard = Layout(
        format: .rawZstandard,
        // A frame of no content.
        head: [0x28, 0xB5, 0x2F, 0xFD, 0x20, 0, 1, 0, 0],
        // A skippable frame of 8 bytes: "LRU1" and the length.
        header: [0x5A, 0x2A, 0x4D, 0x18, 8, 0, 0, 0] + Array("LRU1".utf8),
        tailStart: [0x5A, 0x2A, 0x4D, 0x18, 12, 0, 0, 0] + Array("LRE1".utf8), tailEnd: [], zeroUnit: 61)
    static let layouts = [gzip, zstandard]

    static func image(_ format: ImageFormat, size: UInt64, units: [UInt64] = []) throws -> EncodedImage {
        try EncodedImage(format, virtualSize: size, units: units) { index in
            // What a unit of no content could come to; less for a last one that is short.
            (index + 1) * unit <= size ? 5000 : 24 + size % unit
        }
    }

    private static func refusal(_ format: ImageFormat, _ source: some ImageSource) throws -> ImageError {
        try #require(throws: ImageError.self) { try FormatCatalog.reader(for: format, source: source) }
    }

    private static func littleEndian(_ value: UInt64, _ count: Int) -> [UInt8] {
        var bytes: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0]
        bytes.storeLittleEndian(value, at: 0)
        return Array(bytes.prefix(count))
    }

    @Test(arguments: layouts) func unitsFollowEachOtherAndTheSizeStandsAtTheEnd(layout: Layout) throws {
        let image = try Self.image(layout.format, size: 5 * Self.unit, units: [1, 2])
        let head = UInt64(layout.head.count)
        let header = UInt64(layout.header.count) + 4
        let first = head + layout.zeroUnit
        #expect(image.places == [1: FileOffset(first + header), 2: FileOffset(first + header + 5000 + header)])
        let tail = layout.tailStart + Self.littleEndian(5 << 20, 8) + layout.tailEnd
        let length = first + 2 * (header + 5000) + 2 * layout.zeroUnit + UInt64(tail.count)
        #expect(image.memory.length == length)
        #expect(image.memory[0..<head] == layout.head)
        #expect(image.memory[head..<head + header] == layout.header + Self.littleEndian(layout.zeroUnit, 4))
        #expect(image.memory[first..<first + header] == layout.header + Self.littleEndian(header + 5000, 4))
        #expect(image.memory[length - UInt64(tail.count)..<length] == tail)
        try image.expectFaithful(layout.format)
    }

    @Test(arguments: layouts) func theReaderGivesBackWhatTheEncoderPlaced(layout: Layout) throws {
        for size: UInt64 in [0, 512, Self.unit - 512, Self.unit, Self.unit + 512, 200 * Self.unit + 1024] {
            let count = size.dividedRoundingUp(by: Self.unit)
            for units in allocationPatterns(unitCount: count, seed: size + 7) {
                for batch in [1, 1000] {
                    try Self.image(layout.format, size: size, units: units).expectFaithful(layout.format, batch: batch)
                }
            }
        }
    }

    @Test(arguments: layouts) func whatIsCutOffOrLongerIsNoShorterDisk(layout: Layout) throws {
        let image = try Self.image(layout.format, size: 3 * Self.unit)
        let head = UInt64(layout.head.count)
        let tail = image.memory.length - head - 3 * layout.zeroUnit
        // Behind the head and behind each unit.
        for units: UInt64 in 0...3 {
            var cut = image.memory
            cut.truncate(to: head + units * layout.zeroUnit)
            #expect(try Self.refusal(layout.format, cut).code == .truncated, "\(units)")
            // And with the end of the longer disk behind it.
            cut.write(image.memory[image.memory.length - tail..<image.memory.length], at: cut.length)
            let reader = try? FormatCatalog.reader(for: layout.format, source: cut)
            #expect((reader != nil) == (units == 3), "\(units)")
        }
        var longer = image.memory
        longer.write([0], at: longer.length)
        #expect(try Self.refusal(layout.format, longer).code == .truncated)
        #expect(FormatCatalog.check(longer, as: layout.format).corruptions == 1)
    }

    @Test(arguments: layouts, [0, 1 << 20, 2 << 20, 4 << 20, 1 << 62, (1 << 63) - 1, 1 << 63, .max] as [UInt64])
    func aSizeThatTheUnitsDoNotBearOutIsRefused(layout: Layout, size: UInt64) throws {
        var image = try Self.image(layout.format, size: 3 << 20, units: [0])
        image.memory.write(
            Self.littleEndian(size, 8), at: image.memory.length - UInt64(layout.tailEnd.count) - 8)
        let code = try Self.refusal(layout.format, image.memory).code
        #expect([.corrupt, .truncated, .limitExceeded].contains(code), "\(code)")
        DamageTests.readAll(image.memory, layout.format)
    }

    /// Lengths that no unit can have must not send the walk anywhere.
    @Test(arguments: layouts, [0, 1, 41, 1_060_000, 1 << 31, .max] as [UInt32])
    func aLengthThatNoUnitCanHaveIsRefused(layout: Layout, length: UInt32) throws {
        var image = try Self.image(layout.format, size: 3 << 20, units: [0])
        let head = UInt64(layout.head.count)
        image.memory.write(Self.littleEndian(UInt64(length), 4), at: head + UInt64(layout.header.count))
        let error = try Self.refusal(layout.format, image.memory)
        #expect(error.code == .corrupt && error.offset == FileOffset(head), "\(error)")
    }

    @Test(arguments: layouts) func ourOwnIsDetectedAndNoOtherTakenForIt(layout: Layout) throws {
        let ending = layout.format == .rawGzip ? "gz" : "zst"
        for size: UInt64 in [0, 4 << 20] {
            let image = try Self.image(layout.format, size: size)
            for name in ["disk", "-", "disk.raw.\(ending)", "disk.IMG.\(ending.uppercased())"] {
                #expect(try FormatDetection.detect(image.memory, name: name) == layout.format)
            }
            for name in ["disk.raw", "disk.qcow2", "disk.tar.gz"] {
                let error = try #require(throws: ImageError.self) {
                    try FormatDetection.detect(image.memory, name: name)
                }
                #expect(error.code == .ambiguousFormat)
            }
            for other in [ImageFormat.rawPackage, .rawGzip, .rawZstandard] where other != layout.format {
                let code = try Self.refusal(other, image.memory).code
                #expect(code == .unsupported || code == .corrupt)
            }
        }
    }

    @Test func aFileOfAnotherProgramIsToBeUnpackedFirst() throws {
        let foreign: [(ImageFormat, [UInt8])] = [
            (.rawGzip, [0x1F, 0x8B, 8, 8, 0, 0, 0, 0, 0, 3] + Array("disk.raw\0".utf8) + [3, 0]),
            // As zstd writes it: a frame whose header says a window.
            (.rawZstandard, [0x28, 0xB5, 0x2F, 0xFD, 4, 0x58, 1, 0, 0]),
        ]
        for (format, start) in foreign {
            let source = SparseMemory(start + [UInt8](repeating: 0, count: 600))
            let error = try Self.refusal(format, source)
            #expect(error.code == .unsupported && error.message.contains("unpack it first"), "\(error)")
            let detected = try #require(throws: ImageError.self) {
                try FormatDetection.detect(source, name: "disk.\(format.rawValue)")
            }
            #expect(detected.code == .unsupported && detected.message.contains("unpack it first"))
        }
        #expect(try Self.refusal(.rawZstandard, SparseMemory([1, 2, 3, 4, 5])).code == .corrupt)
    }

    @Test(arguments: [
        (["package": "gz", "member": "x"], "raw.gz has no option 'member'"),
        (["package": "gz", "compression_level": "13"], "1 to 12"),
        (["package": "zst", "compression_level": "20"], "1 to 19"),
    ]) func optionsThatCannotBeHadAreRefused(options: [String: String], words: String) throws {
        let parameters = EncoderParameters(contentLength: 512, virtualSize: 512)
        let error = try #require(throws: ImageError.self) {
            try FormatCatalog.encoder(for: .raw, parameters: parameters, options: FormatOptions(options))
        }
        #expect(error.code == .invalidOption && error.message.contains(words), "\(error)")
    }

    @Test func optionsSayWhatTheyCameTo() throws {
        let parameters = EncoderParameters(contentLength: 512, virtualSize: 512, timestamp: 5)
        let gzip = try FormatCatalog.encoder(
            for: .raw, parameters: parameters, options: FormatOptions(["package": "GZ"]))
        #expect(gzip.options == ["package": "gz", "compression_level": "1"], "no time is recorded")
        #expect(FormatCatalog.writtenFormat(of: .raw, options: FormatOptions(["package": "zst"])) == .rawZstandard)
    }
}
