import ImageModel

/// Finds which guest bytes stand in the damaged parts of a file.
struct DamageLocator {
    /// More ranges of one part than these are counted, not kept.
    private static let mostRanges = 256

    private let image: DiskImage
    private let partLength: UInt64
    /// The parts of each file, by what the file's source is called.
    private var partsOfFiles: [String: Range<Int>] = [:]
    private var guests: [Int: [GuestRange]] = [:]
    private var omitted: [Int: Int] = [:]
    private var carried: [Int: UInt64] = [:]

    /// Completes what is known of damaged parts, by the tables of the image.
    ///
    /// - Throws: what the reader throws, where the tables themselves are damaged.
    static func locate(
        _ parts: inout [DamagedPart], of files: ListedFileSet, _ manifest: Manifest, in image: DiskImage
    ) throws(ImageError) {
        var locator = DamageLocator(image, files, manifest)
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

    private init(_ image: DiskImage, _ files: ListedFileSet, _ manifest: Manifest) {
        self.image = image
        partLength = manifest.parts.length
        var first = 0
        for (source, length) in zip(files.sources, manifest.fileLengths) {
            let count = Int(length.dividedRoundingUp(by: partLength))
            if let source { partsOfFiles[source.name] = first..<first + count }
            first += count
        }
    }

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

    /// - Parameters:
    ///   - stored: where the image's reader says that something is, in one of its files.
    ///   - body: gets the index of a part, and what of the range is in it.
    private mutating func forEachDamagedPart(
        of stored: FileRange, _ body: (inout DamageLocator, Int, FileRange) -> Void
    ) {
        guard !stored.isEmpty else { return }
        let place = image.source.place(of: stored.start)
        // What lies under the image, and is no part of it, has no damage of its own.
        guard let parts = partsOfFiles[place.name], !parts.isEmpty else { return }
        let (start, end) = (place.offset.bytes, place.offset.bytes + stored.length)
        // Tables may say more than the file has.
        let last = min((end - 1) / partLength, UInt64(parts.count - 1))
        guard start / partLength <= last else { return }
        for index in start / partLength...last {
            let part = parts.lowerBound + Int(index)
            guard guests[part] != nil else { continue }
            let from = max(start, index * partLength)
            let to = min(end, (index + 1) * partLength)
            body(&self, part, FileRange(start: stored.start + (from - start), length: to - from))
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
