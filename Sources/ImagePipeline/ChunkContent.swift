import ImageCodecs
import ImageModel

/// Where the bytes of a piece of content are, on their way through a worker.
enum ContentOrigin: Hashable, Sendable {
    /// In the source file, to be read in place.
    case file(FileOffset)
    /// In the worker's buffer of inflated bytes, from this index on.
    case inflated(Int)
    /// Nowhere: zeros that are written out.
    case zeros

    /// The origin of what comes `distance` bytes later.
    func advanced(by distance: UInt64) -> ContentOrigin {
        switch self {
        case .file(let offset): .file(offset + distance)
        case .inflated(let index): .inflated(index + Int(distance))
        case .zeros: .zeros
        }
    }
}

/// A run of guest bytes that is not all zero.
struct ContentPiece: Hashable, Sendable {
    var guest: UInt64
    var length: UInt64
    var origin: ContentOrigin

    var end: UInt64 { guest + length }
}

/// A worker's view of one chunk's bytes: mapped ones in place, compressed ones inflated into a buffer.
struct ChunkContent: ~Copyable {
    /// A unit that inflates to more than this is refused: no writer makes one, and it would cost its size in memory.
    static let largestCompressedUnit: UInt64 = 8 << 20

    private let image: DiskImage
    private var decompressor: Decompressor?
    private var inflated: [UInt8] = []
    private static let zeros = [UInt8](repeating: 0, count: 64 << 10)

    init(_ image: DiskImage) { self.image = image }

    /// Makes the bytes of a chunk ready, and lists its extents with the origin of each.
    mutating func load(_ chunk: Chunk) throws(ImageError) -> [ContentPiece] {
        var pieces: [ContentPiece] = []
        pieces.reserveCapacity(chunk.extents.count)
        for extent in chunk.extents {
            let origin: ContentOrigin
            switch extent.mapping {
            case .raw(let offset):
                try image.source.prepare(FileRange(start: offset, length: extent.range.length))
                origin = .file(offset)
            case .compressed(let unit):
                origin = try inflate(unit, needed: extent.range, in: chunk)
            case .zero, .hole:
                continue
            }
            pieces.append(
                ContentPiece(guest: extent.range.start.bytes, length: extent.range.length, origin: origin))
        }
        return pieces
    }

    /// Gives the mapped pages of a chunk back.
    func unload(_ chunk: Chunk) {
        for extent in chunk.extents {
            if case .raw(let offset) = extent.mapping {
                image.source.release(FileRange(start: offset, length: extent.range.length))
            }
        }
    }

    /// Lends the bytes of a piece, in runs of at most `limit` bytes, each with its distance from the start of the piece.
    func forEachRun(
        of piece: ContentPiece, limit: UInt64, _ body: (Span<UInt8>, UInt64) throws(ImageError) -> Void
    ) throws(ImageError) {
        var distance: UInt64 = 0
        while distance < piece.length {
            let length = min(limit, piece.length - distance)
            switch piece.origin {
            case .file(let offset):
                try image.source.withBytes(of: FileRange(start: offset + distance, length: length)) {
                    (bytes) throws(ImageError) in try body(bytes, distance)
                }
                distance += length
            case .inflated(let index):
                let start = index + Int(distance)
                try body(inflated.span.extracting(start..<start + Int(length)), distance)
                distance += length
            case .zeros:
                let count = min(length, UInt64(Self.zeros.count))
                try body(Self.zeros.span.extracting(0..<Int(count)), distance)
                distance += count
            }
        }
    }

    private mutating func inflate(_ unit: CompressedUnit, needed: GuestRange, in chunk: Chunk) throws(ImageError)
        -> ContentOrigin
    {
        guard unit.content.length <= Self.largestCompressedUnit, unit.content.start >= chunk.range.start else {
            throw ImageError(
                .limitExceeded,
                "a compressed unit of \(unit.content.length) bytes is more than the \(Self.largestCompressedUnit) that Lathe "
                    + "inflates at once", path: image.source.name, offset: unit.stored.start)
        }
        if decompressor == nil { decompressor = try Decompressor() }
        let start = Int(unit.content.start - chunk.range.start)
        let end = start + Int(unit.content.length)
        if inflated.count < end { inflated.append(contentsOf: repeatElement(0, count: end - inflated.count)) }
        let produced = try image.source.withBytes(of: unit.stored) { (bytes) throws(ImageError) in
            decompressor?.decompress(bytes, method: unit.method, into: &inflated, start..<end)
        }
        guard let produced, UInt64(produced) >= needed.end - unit.content.start else {
            throw ImageError(
                .corrupt,
                "the \(unit.method.rawValue) data of guest bytes \(unit.content.start.bytes) to "
                    + "\(unit.content.end.bytes) is damaged", path: image.source.name, offset: unit.stored.start)
        }
        return .inflated(start + Int(needed.start - unit.content.start))
    }
}
