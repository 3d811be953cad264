import ImageModel

/// Finds which guest bytes stand in the damaged parts of a file.
struct DamageLocator {
    /// More ranges of one part than these are counted, not kept.
    private static let mostRanges = 256

    private let partLength: UInt64
    private var guests: [Int: [GuestRange]] = [:]
    private var omitted: [Int: Int] = [:]
    private var carried: [Int: UInt64] = [:]

    /// Completes what is known of damaged parts, by the tables of the image.
    ///
    /// - Throws: what the reader throws, where the tables themselves are damaged.
    static func locate(_ parts: inout [DamagedPart], partLength: UInt64, in image: DiskImage) throws(ImageError) {
        var locator = DamageLocator(partLength: partLength)
        for part in parts { locator.guests[part.index] = [] }
        var walk = MappingWalk(image)
        while let extent = try walk.next() { locator.take(extent) }
        for place in parts.indices {
            let index = parts[place].index
            parts[place].guests = locator.guests[index]
            parts[place].omittedGuests = locator.omitted[index] ?? 0
            let carried = min(locator.carried[index] ?? 0, parts[place].file.length)
            parts[place].otherBytes = parts[place].file.length - carried
        }
    }

    private init(partLength: UInt64) { self.partLength = partLength }

    private mutating func take(_ extent: MappedExtent) {
        switch extent.mapping {
        case .zero, .hole: return
        case .compressed(let unit):
            forEachDamagedPart(of: unit.stored) { locator, part, stored in
                locator.add(extent.range, to: part)
                locator.carried[part, default: 0] += stored.length
            }
        case .raw(let offset):
            let file = FileRange(start: offset, length: extent.range.length)
            forEachDamagedPart(of: file) { locator, part, stored in
                let guest = extent.range.start + (stored.start - offset)
                locator.add(GuestRange(start: guest, length: stored.length), to: part)
                locator.carried[part, default: 0] += stored.length
            }
        }
    }

    private mutating func forEachDamagedPart(
        of file: FileRange, _ body: (inout DamageLocator, Int, FileRange) -> Void
    ) {
        guard !file.isEmpty else { return }
        for part in file.start.bytes / partLength...(file.end.bytes - 1) / partLength
        where guests[Int(part)] != nil {
            let start = max(file.start.bytes, part * partLength)
            let end = min(file.end.bytes, (part + 1) * partLength)
            body(&self, Int(part), FileRange(start, length: end - start))
        }
    }

    private mutating func add(_ range: GuestRange, to part: Int) {
        let count = guests[part, default: []].count
        if count > 0, guests[part, default: []][count - 1].end == range.start {
            guests[part, default: []][count - 1].length += range.length
        } else if count < Self.mostRanges {
            guests[part, default: []].append(range)
        } else {
            omitted[part, default: 0] += 1
        }
    }
}
