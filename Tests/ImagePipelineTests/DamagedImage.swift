import ImageFormats
import ImageModel
import ImagePipeline
import LatheTestSupport
import Synchronization

/// A small image with content, and what its damaged copies are held against.
struct DamagedImage {
    /// What a reader makes of a damaged copy.
    enum Outcome: Hashable {
        case same
        case refused
        /// The fingerprint or the virtual size is another: whoever knows them sees it.
        case changed
    }

    let variant: OutputVariant
    let memory: SparseMemory
    private let result: ConversionResult
    private let segments: [MetadataSegment]

    /// Units of every format are whole, partly filled and empty, and no two hold the same.
    private static let content: [UInt8] = {
        var bytes = [UInt8](repeating: 0, count: 7 << 20)
        for (index, place) in [0, 66_000, 1 << 20, 3_300_000, 5 << 20, (7 << 20) - 5000].enumerated() {
            bytes.store(SampleDisk.full(length: 5000, seed: 110 + UInt64(index)), at: place)
        }
        return bytes
    }()
    private static let source = SparseMemory(content)

    init(_ variant: OutputVariant) throws {
        self.variant = variant
        let sink = MemorySink()
        result = try Conversion(
            try DiskImage(Self.source, format: .raw), to: variant.format, options: FormatOptions(variant.options),
            work: WorkOptions(threads: 1)
        ).run(into: sink)
        let memory = sink.memory
        self.memory = memory
        segments = sink.operations.filter { $0.kind == .metadata }.map { operation in
            let range = operation.offset..<operation.offset + UInt64(operation.length)
            return MetadataSegment(at: FileOffset(operation.offset), memory[range])
        }
    }

    /// Every metadata byte of a short segment or that stands out of a long one, and a seeded sample of the others.
    var bytesWorthAFlip: [(offset: UInt64, byte: UInt8)] {
        var chosen: [(offset: UInt64, byte: UInt8)] = []
        for segment in segments {
            guard case .bytes(let bytes) = segment.content else { continue }
            var generator = SeededGenerator(seed: segment.offset.bytes)
            let usual = bytes.last ?? 0
            let sample = Set((0..<12).map { _ in Int.random(in: bytes.indices, using: &generator) })
            for (index, byte) in bytes.enumerated() where bytes.count <= 1024 || byte != usual || sample.contains(index)
            {
                chosen.append((segment.offset.bytes + UInt64(index), byte))
            }
        }
        return chosen
    }

    /// Whether the bytes after an offset only pad a compressed qcow2 to a whole sector: a file without them is as valid, since
    /// the format lets a file end with its last compressed cluster.
    func hasOnlyPadding(after length: UInt64) -> Bool {
        guard variant.format == .qcow2, variant.options["compress"] == "on",
            memory.length - length < 512
        else { return false }
        return memory[length..<memory.length].isZero
    }

    /// Reads all content through the reader.
    func outcome(of source: some ImageSource) -> Outcome {
        guard let image = try? DiskImage(source, format: variant.format) else { return .refused }
        guard image.virtualSize == result.virtualSize else {
            walk(source)
            return .changed
        }
        guard let fingerprint = try? image.fingerprint(WorkOptions(threads: 1)) else { return .refused }
        return fingerprint == result.fingerprint ? .same : .changed
    }

    /// Asks for mappings, as many as a test has time for: a disk that says it is huge is not read to its end.
    func walk(_ source: some ImageSource) {
        guard let reader = try? FormatCatalog.reader(for: variant.format, source: source) else { return }
        var position: UInt64 = 0
        for _ in 0..<50 where position < reader.virtualSize {
            let range = GuestRange(position, length: reader.virtualSize - position)
            guard let last = try? reader.extents(in: range, atMost: 100, from: source).last else { return }
            guard last.range.end.bytes > position, last.range.end.bytes <= reader.virtualSize else { return }
            position = last.range.end.bytes
        }
    }
}

extension CheckReport {
    /// Whether the checker has anything to say.
    var hasAnything: Bool { corruptions > 0 || leaks > 0 || warnings > 0 || incomplete != nil }
}

/// Where the entries of mapping tables stand that hold the place of an allocated unit, read as the specifications say.
enum MappingEntries {
    static func ofAllocatedUnits(in memory: SparseMemory, _ variant: OutputVariant) throws -> [Range<UInt64>] {
        switch variant.format {
        case .raw: return []
        case .rawPackage, .rawGzip, .rawZstandard:
            // The lengths in the headers: each says where the next unit is.
            let field: UInt64 = variant.format == .rawZstandard ? 12 : 16
            func length(at position: UInt64) -> UInt64 {
                UInt64(memory[position + field..<position + field + 4].littleEndian(UInt32.self, at: 0))
            }
            var entries: [Range<UInt64>] = []
            var position: UInt64 =
                switch variant.format {
                case .rawPackage: length(at: 0)
                case .rawZstandard: 9
                default: 0
                }
            for _ in 0..<7 {
                entries.append(position + field..<position + field + 4)
                position += length(at: position)
            }
            return entries
        case .vhd:
            let header = memory[512..<1536]
            return entries(in: memory, at: header.bigEndian(UInt64.self, at: 16), header.bigEndian(UInt32.self, at: 28))
            {
                $0 != .max
            }
        case .vdi:
            let header = memory[0..<512]
            let map = UInt64(header.littleEndian(UInt32.self, at: 340))
            return entries(in: memory, at: map, header.littleEndian(UInt32.self, at: 384)) { $0 != .max }
        case .vmdk:
            var header = memory[0..<512]
            // All ones: the directory is only known in the footer.
            if header.littleEndian(UInt64.self, at: 56) == .max {
                header = memory[memory.length - 1024..<memory.length - 512]
            }
            let perTable = header.littleEndian(UInt32.self, at: 44)
            let grains = header.littleEndian(UInt64.self, at: 12).dividedRoundingUp(
                by: header.littleEndian(UInt64.self, at: 20))
            let directory = header.littleEndian(UInt64.self, at: 56) * 512
            let tables = (0..<grains.dividedRoundingUp(by: UInt64(perTable))).map { index in
                UInt64(memory[directory + index * 4..<directory + index * 4 + 4].littleEndian(UInt32.self, at: 0)) * 512
            }
            return tables.filter { $0 != 0 }.flatMap { entries(in: memory, at: $0, perTable) { $0 != 0 } }
        case .qcow2:
            let header = memory[0..<104]
            let directory = header.bigEndian(UInt64.self, at: 40)
            let tables = (0..<UInt64(header.bigEndian(UInt32.self, at: 36))).map { index in
                memory[directory + index * 8..<directory + index * 8 + 8].bigEndian(UInt64.self, at: 0)
                    & 0xFF_FFFF_FFFF_FE00
            }
            return tables.filter { $0 != 0 }.flatMap { table in
                (0..<UInt64(8192)).map { table + $0 * 8..<table + $0 * 8 + 8 }.filter { !memory[$0].isZero }
            }
        }
    }

    private static func entries(
        in memory: SparseMemory, at table: UInt64, _ count: UInt32, isAllocated: (UInt32) -> Bool
    ) -> [Range<UInt64>] {
        (0..<UInt64(count)).map { table + $0 * 4..<table + $0 * 4 + 4 }
            .filter { isAllocated(memory[$0].bigEndian(UInt32.self, at: 0)) }
    }
}

/// The checksums of a vhd's structures, made right again, so that damage gets past them.
enum VHDChecksums {
    static func repair(_ memory: inout SparseMemory) {
        guard memory.length >= 2048 else { return }
        for (start, length, field) in [(0, 512, 64), (512, 1024, 36), (memory.length - 512, 512, 64)]
            as [(UInt64, UInt64, Int)]
        {
            var bytes = memory[start..<start + length]
            guard bytes.starts(with: Array("c".utf8)) else { continue }
            bytes.storeBigEndian(UInt32(0), at: field)
            bytes.storeBigEndian(~bytes.reduce(UInt32(0)) { $0 &+ UInt32($1) }, at: field)
            memory.write(bytes, at: start)
        }
    }
}

/// A source that remembers the longest range that anybody asked for: what a hostile header can make a reader allocate.
final class WatchedSource: ImageSource {
    /// No table is read in longer slices.
    static let bound: UInt64 = 4 << 20

    let name = "watched"
    let length: UInt64
    private let memory: SparseMemory
    private let largest = Mutex<UInt64>(0)

    init(_ memory: SparseMemory) {
        self.memory = memory
        length = memory.length
    }

    var largestRead: UInt64 { largest.withLock { $0 } }

    func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result) throws(ImageError)
        -> Result
    {
        try requireHeld(range)
        largest.withLock { $0 = max($0, range.length) }
        return try memory.withBytes(of: range, body)
    }

    func nextData(from start: FileOffset, limit: FileOffset) throws(ImageError) -> FileRange? {
        try memory.nextData(from: start, limit: limit)
    }
}
