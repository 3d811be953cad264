import ImageFormats
import ImageModel

/// Guest bytes that the image shares with the source, and where they are in both.
struct ClonedRange: Hashable, Sendable {
    var guest: GuestRange
    var source: FileOffset
    var place: FileOffset
}

/// Divides planned writes into what the image can share with the source, in whole blocks, and what has to be written.
struct ClonePlan: Sendable {
    /// Zeros between two clones, shorter than this, are cloned along with them: a clone costs by the call.
    ///
    /// Longer ones become holes, since they would take room once the source is gone.
    private static let shortestGap: UInt64 = 64 << 10

    private(set) var clones: [ClonedRange] = []
    private(set) var writes: [PlacedRange] = []
    /// The first part of a block and more that could not be shared, and why.
    private(set) var obstacle: (guest: GuestRange, reason: String)?

    private let blockSize: UInt64
    private let unitSize: UInt64
    /// The extent that the last clone came from.
    private var clonedExtent = -1

    /// - Parameters:
    ///   - blockSize: what the sink clones in, a power of two.
    ///   - unitSize: of the format that is written.
    init(blockSize: UInt64, unitSize: UInt64) {
        self.blockSize = blockSize
        self.unitSize = unitSize
    }

    /// Divides one chunk's ascending writes by the extents that its bytes came from.
    mutating func divide(_ planned: [PlacedRange], storedIn extents: [MappedExtent]) {
        clones.removeAll(keepingCapacity: true)
        writes.removeAll(keepingCapacity: true)
        clonedExtent = -1
        var index = 0
        for write in planned {
            var position = write.guest.start
            while position < write.guest.end {
                while index < extents.count, extents[index].range.end <= position { index += 1 }
                let next = index < extents.count ? extents[index].range.start : write.guest.end
                if next > position {
                    let end = min(next, write.guest.end)
                    refuse(write.part(position, end), "they are zeros that the source has not stored")
                    position = end
                } else {
                    let end = min(extents[index].range.end, write.guest.end)
                    divide(write.part(position, end), extents[index], index)
                    position = end
                }
            }
        }
    }

    /// Divides bytes that came from one extent.
    private mutating func divide(_ part: PlacedRange, _ extent: MappedExtent, _ index: Int) {
        guard case .raw(let offset) = extent.mapping else {
            return refuse(part, "the source has them compressed")
        }
        let source = offset + (part.guest.start - extent.range.start)
        let place = part.place.bytes
        let blockSize = blockSize
        guard source.bytes % blockSize == place % blockSize else {
            return refuse(
                part,
                "byte \(source.bytes) of the source and byte \(place) of the result are not at the same place in a "
                    + "block of \(blockSize)")
        }
        let end = place + part.guest.length
        let last = end.roundedDown(toMultipleOf: blockSize)
        guard let first = place.roundedUp(toMultipleOf: blockSize), first < last else { return keep(part) }
        let middle = part.guest.start + (first - place)
        keep(part.part(part.guest.start, middle))
        share(
            ClonedRange(
                guest: GuestRange(start: middle, length: last - first), source: source + (first - place),
                place: FileOffset(first)), index)
        keep(part.part(middle + (last - first), part.guest.end))
    }

    private mutating func refuse(_ part: PlacedRange, _ reason: @autoclosure () -> String) {
        if obstacle == nil, part.guest.length >= blockSize { obstacle = (part.guest, reason()) }
        keep(part)
    }

    private mutating func keep(_ part: PlacedRange) {
        guard !part.guest.isEmpty else { return }
        if let last = writes.indices.last, writes[last].absorb(part) { return }
        writes.append(part)
    }

    private mutating func share(_ next: ClonedRange, _ extent: Int) {
        defer { clonedExtent = extent }
        guard let index = clones.indices.last, extent == clonedExtent, joins(clones[index], next) else {
            clones.append(next)
            return
        }
        clones[index].guest.length = next.guest.end - clones[index].guest.start
    }

    /// Whether what lies between two clones of one extent may be cloned too: it is short, has its place in the image, and
    /// nothing else is put there.
    ///
    /// Zeros count for nothing in either checksum, so that nobody has to know which of them were cloned.
    private func joins(_ last: ClonedRange, _ next: ClonedRange) -> Bool {
        let gap = next.guest.start - last.guest.end
        // With a unit between the two that is not placed, its place would be that of something else.
        let units = next.guest.start.bytes / unitSize - (last.guest.end.bytes - 1) / unitSize
        return gap < Self.shortestGap && units <= 1 && next.place - last.place == next.guest.start - last.guest.start
            && (writes.last.map { $0.guest.end <= last.guest.start } ?? true)
    }
}

extension PlacedRange {
    /// The part between two guest offsets.
    func part(_ start: GuestOffset, _ end: GuestOffset) -> PlacedRange {
        PlacedRange(guest: GuestRange(start: start, length: end - start), place: place + (start - guest.start))
    }

    /// Takes `next` in where it goes on as this range does, in the disk and in the file.
    mutating func absorb(_ next: PlacedRange) -> Bool {
        guard guest.end == next.guest.start, place + guest.length == next.place else { return false }
        guest.length += next.guest.length
        return true
    }
}
