import Glibc
import ImageModel
import LatheTestSupport
import Testing

@testable import ImageCodecs

/// Contents that compressors treat differently.
enum CompressionSample {
    static let all: [(name: String, bytes: [UInt8])] = [
        ("empty", []), ("one byte", [7]), ("zeros", [UInt8](repeating: 0, count: 65_536)),
        ("random", SampleDisk.full(length: 65_536, seed: 51)), ("mixed", SampleDisk.mixed(length: 65_536, seed: 52)),
        ("text", (0..<3000).flatMap { Array("line \($0 * 7919 % 1000) of a log\n".utf8) }),
    ]
}

@Suite struct CompressorTests {
    /// Each library with each kind of stream, and a few of the levels and windows that it has.
    static let all: [UnitCompression] =
        (1...12).flatMap { level in
            [.zlib, .gzip, .deflate].map { UnitCompression($0, by: .libdeflate, level: level) }
        }
        + [1, 2].flatMap { level in
            [
                UnitCompression(.deflate, by: .isal, level: level, windowBits: 12),
                UnitCompression(.gzip, by: .isal, level: level),
            ]
        }
        + (1...9).map { UnitCompression(.deflate, by: .zlib, level: $0, windowBits: 12) }
        + [UnitCompression(.gzip, by: .zlib, level: 6), UnitCompression(.deflate, by: .zlib, level: 6, windowBits: 9)]
        + [1, 3, 10, 19].map { UnitCompression(.zstd, by: .zstd, level: $0) }

    private func compressed(_ bytes: [UInt8], _ compression: UnitCompression) throws -> [UInt8] {
        var compressor = try Compressor(compression)
        var output: [UInt8] = []
        let count = try #require(try compressor.compress(bytes.span, into: &output))
        #expect(count == output.count && count <= compressor.bound(bytes.count))
        return output
    }

    /// ISA-L took a part of the address of its state for content.
    ///
    /// So about one unit in ten thousand became other bytes in another process or thread. Each unit here finds its first bytes
    /// again, which was what then failed.
    @Test(arguments: [1, 2]) func whereACompressorLiesInMemoryDoesNotShow(level: Int) throws {
        let compression = UnitCompression(.deflate, by: .isal, level: level, windowBits: 12)
        var first = try Compressor(compression)
        var second = try Compressor(compression)
        var third = try Compressor(compression)
        var generator = SeededGenerator(seed: 59)
        // Of sixteen letters, since what can't be compressed is stored as it is.
        var unit = SampleDisk.full(length: 700, seed: 60).map { 97 + $0 % 16 }
        var (expected, found): ([UInt8], [UInt8]) = ([], [])
        for _ in 0..<20_000 {
            for place in 0..<8 {
                unit[place] = UInt8.random(in: 0...255, using: &generator)
                unit[place + 300] = unit[place]
            }
            expected.removeAll(keepingCapacity: true)
            _ = try first.compress(unit.span, into: &expected)
            found.removeAll(keepingCapacity: true)
            _ = try second.compress(unit.span, into: &found)
            try #require(found == expected)
            found.removeAll(keepingCapacity: true)
            _ = try third.compress(unit.span, into: &found)
            try #require(found == expected)
        }
    }

    /// However many there are, and whatever lies where they would be put first.
    @Test func everyCompressorsStateIsAtAnAddressOfTheSameSlot() throws {
        func allocate(_ count: Int, _ addresses: inout Set<UInt>) throws {
            guard count > 0 else { return }
            guard let memory = ISALStreamMemory() else {
                throw ImageError(.limitExceeded, "no memory for number \(count)")
            }
            let address = UInt(bitPattern: unsafe memory.stream)
            #expect(ISALStreamMemory.slot(of: address) == ISALStreamMemory.slot)
            #expect(addresses.insert(address).inserted)
            try allocate(count - 1, &addresses)
        }
        var addresses: Set<UInt> = []
        try allocate(100, &addresses)
        var generator = SeededGenerator(seed: 61)
        for _ in 0..<1000 {
            let start = UInt.random(in: 0..<1 << 16, using: &generator) << 31
            let address = ISALStreamMemory.address(inRun: start)
            #expect(address >= start && address < start + 1 << 31 && address % (64 << 10) == 0)
            #expect(ISALStreamMemory.slot(of: address) == ISALStreamMemory.slot)
        }
    }

    /// A mapped source of 16 TiB left no address within the first thousands of runs.
    @Test func aCompressorHasRoomBesideAMappingOfManyTebibytes() throws {
        let length = 16 << 40
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let mapping = unsafe mmap(nil, length, PROT_NONE, flags, -1, 0), unsafe mapping != MAP_FAILED else {
            throw ImageError(.limitExceeded, "the test needs \(length) bytes of addresses")
        }
        defer { unsafe munmap(mapping, length) }
        _ = try Compressor(UnitCompression(.deflate, by: .isal, level: 1, windowBits: 12))
    }

    @Test(arguments: all) func everyStreamInflatesWithThePeerAndWithOurs(compression: UnitCompression) throws {
        let decompressor = try Decompressor()
        for sample in CompressionSample.all {
            let stream = try compressed(sample.bytes, compression)
            let capacity = sample.bytes.count
            let peers =
                switch compression.method {
                case .zlib: ReferenceInflate.zlib(stream, capacity: capacity)
                // The shortest header that RFC 1952 allows.
                case .gzip:
                    ReferenceInflate.gzip([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255] + stream, capacity: capacity)
                case .deflate:
                    ReferenceInflate.raw(stream, capacity: capacity, windowBits: compression.windowBits)
                case .zstd: ReferenceInflate.zstandard(stream, capacity: capacity)
                }
            #expect(peers == sample.bytes, "\(sample.name)")
            var output = [UInt8](repeating: 0, count: capacity)
            let count = decompressor.decompress(stream.span, method: compression.method, into: &output, 0..<capacity)
            #expect(count == capacity && output == sample.bytes, "\(sample.name)")
        }
    }

    @Test(arguments: all) func theSameInputGivesTheSameBytesWhateverCameBefore(compression: UnitCompression) throws {
        var used = try Compressor(compression)
        for sample in CompressionSample.all.reversed() {
            var output: [UInt8] = [1, 2, 3]
            let count = try #require(try used.compress(sample.bytes.span, into: &output))
            #expect(output.count == 3 + count && Array(output.prefix(3)) == [1, 2, 3])
            #expect(Array(output.dropFirst(3)) == (try compressed(sample.bytes, compression)), "\(sample.name)")
        }
    }

    @Test(arguments: all) func whatDoesNotBecomeShorterIsKept(compression: UnitCompression) throws {
        var keeping = compression
        keeping.keepsIncompressible = true
        var compressor = try Compressor(keeping)
        for sample in CompressionSample.all where compression.method != .gzip {
            var output: [UInt8] = [9]
            let count = try compressor.compress(sample.bytes.span, into: &output)
            let stream = try compressed(sample.bytes, compression)
            if stream.count < sample.bytes.count {
                #expect(count == stream.count && output == [9] + stream, "\(sample.name)")
            } else {
                #expect(count == nil && output == [9], "\(sample.name)")
            }
        }
    }

    /// A strict inflater with 4 KiB of memory, as QEMU has one, sees copies that reach back further.
    @Test func aStreamOfALargerWindowIsSeen() throws {
        let bytes = SampleDisk.full(length: 8192, seed: 63)
        let stream = try compressed(bytes + bytes, UnitCompression(.deflate, by: .zlib, level: 6))
        #expect(ReferenceInflate.raw(stream, capacity: 16384, windowBits: 15) == bytes + bytes)
        #expect(ReferenceInflate.raw(stream, capacity: 16384, windowBits: 12) == nil)
    }

    @Test func aTrailerThatIsNotTheContentsIsSeen() throws {
        let decompressor = try Decompressor()
        let content = SampleDisk.mixed(length: 5000, seed: 59)
        let stream = DecompressorTests.stream(content, .gzip)
        for place in stream.count - 8..<stream.count {
            var damaged = stream
            damaged[place] ^= 0x10
            var output = [UInt8](repeating: 0, count: content.count)
            #expect(decompressor.decompress(damaged.span, method: .gzip, into: &output, 0..<output.count) == nil)
        }
    }

    private func refusal(_ compression: UnitCompression) -> ImageError? {
        #expect(throws: ImageError.self) { _ = try Compressor(compression).bound(1) }
    }

    @Test func aMethodThatALibraryDoesNotHaveIsRefused() {
        #expect(refusal(UnitCompression(.zstd, by: .libdeflate, level: 1))?.code == .unsupported)
        #expect(refusal(UnitCompression(.deflate, by: .zstd, level: 1))?.code == .unsupported)
        #expect(refusal(UnitCompression(.zlib, by: .isal, level: 1))?.code == .unsupported)
    }

    @Test func zerosAndTextBecomeSmall() throws {
        for sample in CompressionSample.all where sample.name == "zeros" || sample.name == "text" {
            for compression in Self.all where compression.windowBits > 9 {
                let count = try compressed(sample.bytes, compression).count
                #expect(count < sample.bytes.count / 3, "\(sample.name), \(Compressor.record(of: compression))")
            }
        }
    }

    @Test(arguments: [
        (UnitCompression.Library.libdeflate, CompressionMethod.zlib, 12), (.isal, .deflate, 2), (.zlib, .deflate, 9),
        (.zstd, .zstd, 19),
    ])
    func levelsThatAreNoneAreRefused(library: UnitCompression.Library, method: CompressionMethod, last: Int) {
        for level in [Int.min, -1, 0, last + 1, Int.max] {
            let error = refusal(UnitCompression(method, by: library, level: level))
            #expect(error?.code == .invalidOption && "\(error.map { "\($0)" } ?? "")".contains("1 to \(last)"))
        }
        #expect(Compressor.levels(of: library) == 1...last)
    }

    @Test func windowsThatAreNoneAreRefused() {
        for (library, windowBits) in [(UnitCompression.Library.libdeflate, 12), (.isal, 8), (.zlib, 8), (.zlib, 16)] {
            let error = refusal(UnitCompression(.deflate, by: library, level: 1, windowBits: windowBits))
            #expect(error?.code == .invalidOption, "\(library), \(windowBits)")
        }
    }

    @Test func theRecordSaysWhatMakesTheBytes() {
        let fast = Compressor.record(of: UnitCompression(.deflate, by: .isal, level: 1, windowBits: 12))
        #expect(fast.wholeMatch(of: /isa-l \d+\.\d+\.\d+ level 1 window 12/) != nil, "\(fast)")
        let small = Compressor.record(of: UnitCompression(.zstd, by: .zstd, level: 3))
        #expect(small.wholeMatch(of: /libzstd \d+\.\d+\.\d+ level 3/) != nil, "\(small)")
        let usual = Compressor.record(of: UnitCompression(.zlib, by: .libdeflate, level: 5))
        #expect(usual.wholeMatch(of: /libdeflate \d+\.\d+ level 5/) != nil, "\(usual)")
    }
}

@Suite struct DecompressorTests {
    static let methods: [CompressionMethod] = [.deflate, .gzip, .zlib, .zstd]

    static func stream(_ bytes: [UInt8], _ method: CompressionMethod) -> [UInt8] {
        switch method {
        case .deflate: ReferenceDeflate.raw(bytes)
        case .gzip: ReferenceDeflate.gzipBody(bytes)
        case .zlib: ReferenceDeflate.zlib(bytes)
        case .zstd: ReferenceDeflate.zstandard(bytes)
        }
    }

    /// Inflates into the middle of a buffer and sees that nothing around it is touched.
    private func inflate(
        _ decompressor: borrowing Decompressor, _ input: [UInt8], _ method: CompressionMethod, room: Int
    ) -> [UInt8]? {
        let margin = 64
        var output = [UInt8](repeating: 0xA5, count: room + 2 * margin)
        let count = decompressor.decompress(input.span, method: method, into: &output, margin..<margin + room)
        #expect(output.prefix(margin).allSatisfy { $0 == 0xA5 } && output.suffix(margin).allSatisfy { $0 == 0xA5 })
        guard let count else { return nil }
        #expect(count <= room)
        return Array(output[margin..<margin + min(count, room)])
    }

    @Test(arguments: methods) func streamsOfThePeersInflate(method: CompressionMethod) throws {
        let decompressor = try Decompressor()
        for sample in CompressionSample.all {
            let stream = Self.stream(sample.bytes, method)
            #expect(inflate(decompressor, stream, method, room: sample.bytes.count) == sample.bytes, "\(sample.name)")
        }
    }

    @Test(arguments: methods) func whatFollowsTheStreamIsIgnored(method: CompressionMethod) throws {
        let decompressor = try Decompressor()
        let content = SampleDisk.mixed(length: 4096, seed: 53)
        for tail in [[0], [UInt8](repeating: 0, count: 511), SampleDisk.full(length: 300, seed: 54)] {
            let stream = Self.stream(content, method) + tail
            #expect(inflate(decompressor, stream, method, room: content.count) == content)
        }
    }

    @Test(arguments: methods) func aStreamThatHoldsMoreThanTheRangeIsRefused(method: CompressionMethod) throws {
        let decompressor = try Decompressor()
        for content in [SampleDisk.full(length: 4096, seed: 55), [UInt8](repeating: 0, count: 65_536)] {
            let stream = Self.stream(content, method)
            for room in [0, 1, content.count / 2, content.count - 1] {
                #expect(inflate(decompressor, stream, method, room: room) == nil, "room for \(room)")
            }
        }
    }

    @Test(arguments: methods) func aStreamThatHoldsLessSaysHowMuch(method: CompressionMethod) throws {
        let decompressor = try Decompressor()
        let content = SampleDisk.full(length: 1000, seed: 56)
        #expect(inflate(decompressor, Self.stream(content, method), method, room: 4096) == content)
    }

    @Test(arguments: methods) func everyTruncationIsSeen(method: CompressionMethod) throws {
        let decompressor = try Decompressor()
        let content = SampleDisk.mixed(length: 2000, seed: 57)
        let stream = Self.stream(content, method)
        for length in 0..<stream.count {
            let part = inflate(decompressor, Array(stream.prefix(length)), method, room: content.count)
            #expect(part == nil, "cut to \(length) of \(stream.count)")
        }
    }

    @Test(arguments: methods) func everyFlippedByteIsSurvived(method: CompressionMethod) throws {
        let decompressor = try Decompressor()
        let content = Array("a small stream, flipped all over; a small stream, flipped all over".utf8)
        let stream = Self.stream(content, method)
        var seen = 0
        for place in stream.indices {
            for flip in UInt8(1)...255 {
                var damaged = stream
                damaged[place] ^= flip
                if inflate(decompressor, damaged, method, room: content.count) != content { seen += 1 }
            }
        }
        #expect(inflate(decompressor, stream, method, room: content.count) == content, "it goes on as before")
        #expect(seen > stream.count * 255 * 9 / 10)
    }

    @Test(arguments: methods) func garbageIsSurvived(method: CompressionMethod) throws {
        let decompressor = try Decompressor()
        for seed: UInt64 in 0..<300 {
            var bytes = SampleDisk.full(length: Int(seed), seed: seed)
            if method == .zstd, bytes.count > 4 { bytes.store([0x28, 0xB5, 0x2F, 0xFD], at: 0) }
            if method == .zlib, bytes.count > 2 { bytes.store([0x78, 0x9C], at: 0) }
            _ = inflate(decompressor, bytes, method, room: 4096)
        }
    }

    @Test func severalZstandardFramesAreOneContent() throws {
        let decompressor = try Decompressor()
        let content = SampleDisk.mixed(length: 9000, seed: 58)
        for cuts in [[4500], [1, 2, 3], [0, 9000], [3000, 6000]] {
            let borders = [0] + cuts + [content.count]
            let frames = zip(borders, borders.dropFirst()).flatMap { Self.stream(Array(content[$0..<$1]), .zstd) }
            #expect(inflate(decompressor, frames, .zstd, room: content.count) == content, "cut at \(cuts)")
            let padded = frames + [UInt8](repeating: 0, count: 100)
            #expect(inflate(decompressor, padded, .zstd, room: content.count) == content, "cut at \(cuts), padded")
        }
    }

    @Test func aFrameThatSaysItIsHugeIsRefusedWithoutTheMemoryForIt() throws {
        let decompressor = try Decompressor()
        // Magic, a frame with an 8-byte content size of 2^62 and the largest window that the format knows.
        let huge: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0xC0, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0x40, 1, 0, 0]
        #expect(inflate(decompressor, huge, .zstd, room: 4096) == nil)
    }
}
