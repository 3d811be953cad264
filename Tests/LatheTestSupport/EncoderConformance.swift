public import ImageFormats
public import ImageModel
public import Testing

/// A small seeded generator (xorshift64*), so that a failing case can be run again from its printed seed.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

    public mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_f491_4f6c_dd1d
    }
}

/// What an encoder made of an allocation pattern, with no content in it.
public struct EncodedImage: Sendable {
    public var memory: SparseMemory
    /// Where each unit was placed.
    public var places: [UInt64: FileOffset]
    /// Every metadata segment, in the order in which it was handed out.
    public var metadata: [MetadataSegment]
    public var unitSize: UInt64
    public var virtualSize: UInt64
    /// The files that it is divided into, where it is.
    public var files: [MemberFile]

    /// Runs an encoder over `units` (ascending) with a stored length for each.
    public init(
        _ format: ImageFormat, virtualSize: UInt64, units: [UInt64], options: [String: String] = [:],
        fingerprint: UInt64 = 0x0123_4567_89ab_cdef, fileName: String = EncoderParameters.defaultFileName,
        storedLength: (UInt64) -> UInt64? = { _ in nil }
    ) throws {
        self.virtualSize = virtualSize
        var encoder = try FormatCatalog.encoder(
            for: format,
            parameters: EncoderParameters(
                contentLength: virtualSize, virtualSize: virtualSize, fileName: fileName),
            options: FormatOptions(options))
        unitSize = encoder.unitSize
        files = encoder.files
        memory = SparseMemory(name: "\(format.rawValue) in memory")
        places = [:]
        metadata = []
        for unit in units {
            let length = storedLength(unit) ?? encoder.unitSize
            places[unit] = try encoder.place(unit: unit, storedLength: length, metadata: &metadata)
        }
        let identity = ContentIdentity(fingerprint: fingerprint, virtualSize: virtualSize)
        let length = try encoder.finish(content: identity, metadata: &metadata)
        for segment in metadata { try memory.write(segment) }
        files = encoder.files
        #expect(memory.length <= length, "metadata reaches past the length that finish() answers")
        memory.truncate(to: length)
    }

    /// Asks the reader for the whole disk, `batch` extents at a time.
    public func extents(_ format: ImageFormat, batch: Int = 1000) throws -> [MappedExtent] {
        let reader = try FormatCatalog.reader(for: format, source: memory)
        #expect(reader.virtualSize == virtualSize)
        var list = ExtentList()
        var position: UInt64 = 0
        while position < virtualSize {
            let range = GuestRange(position, length: virtualSize - position)
            let answer = try reader.extents(in: range, atMost: batch, from: memory)
            #expect(!answer.isEmpty && answer.count <= batch)
            for extent in answer {
                #expect(extent.range.start.bytes == position, "extents must join without a gap")
                list.append(extent)
                position = extent.range.end.bytes
            }
            guard !answer.isEmpty else { break }
        }
        #expect(position == virtualSize)
        return list.extents
    }

    /// Holds the reader's mapping against the encoder's places, unit by unit, and wants the checker to find nothing.
    public func expectFaithful(
        _ format: ImageFormat, batch: Int = 1000, sourceLocation: SourceLocation = #_sourceLocation
    )
        throws
    {
        var seen: Set<UInt64> = []
        for extent in try extents(format, batch: batch) {
            switch extent.mapping {
            case .zero, .hole:
                continue
            case .raw(let offset):
                var guest = extent.range.start.bytes
                while guest < extent.range.end.bytes {
                    let unit = guest / unitSize
                    seen.insert(unit)
                    let expected = places[unit].map { $0.bytes + guest % unitSize }
                    #expect(
                        offset.bytes + (guest - extent.range.start.bytes) == expected, "unit \(unit)",
                        sourceLocation: sourceLocation)
                    guest = (unit + 1) * unitSize
                }
            case .compressed(let stored):
                let unit = stored.content.start.bytes / unitSize
                seen.insert(unit)
                #expect(stored.stored.start == places[unit], "unit \(unit)", sourceLocation: sourceLocation)
            }
        }
        #expect(seen == Set(places.keys), sourceLocation: sourceLocation)
        expectNoOverlap(sourceLocation)
        let report = FormatCatalog.check(memory, as: format)
        #expect(report.findings.isEmpty, sourceLocation: sourceLocation)
        #expect(report.incomplete == nil, sourceLocation: sourceLocation)
    }

    /// No two segments, and no segment and unit, may share a byte.
    private func expectNoOverlap(_ sourceLocation: SourceLocation) {
        var ranges = metadata.filter { $0.length > 0 }.map { ($0.offset.bytes, $0.offset.bytes + $0.length) }
        ranges += places.values.map { ($0.bytes, $0.bytes + 1) }
        ranges.sort { $0 < $1 }
        for (first, second) in zip(ranges, ranges.dropFirst()) {
            #expect(first.1 <= second.0, "bytes \(first) and \(second) overlap", sourceLocation: sourceLocation)
        }
    }
}

/// Allocation patterns for a disk of some units: none, all, ends, alternating, and seeded random ones.
public func allocationPatterns(unitCount: UInt64, seed: UInt64) -> [[UInt64]] {
    guard unitCount > 0 else { return [[]] }
    var patterns: [[UInt64]] = [[], [0], [unitCount - 1]]
    if unitCount <= 4096 {
        patterns += [Array(0..<unitCount), Array(stride(from: 0, to: unitCount, by: 2))]
    }
    var generator = SeededGenerator(seed: seed)
    for size in [3, 17, 200] {
        let picks = (0..<size).map { _ in UInt64.random(in: 0..<unitCount, using: &generator) }
        patterns.append(Set(picks).sorted())
    }
    return patterns
}
