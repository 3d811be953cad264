import ImageCodecs
import ImageModel

/// Finds what is not zero in loaded content.
struct ZeroScan: Sendable {
    /// Zeros are looked for in steps of this many guest bytes, aligned: the block of common file systems, below which a hole
    /// saves nothing.
    static let granule: UInt64 = 4096

    /// The pieces of `content` that are not zero, with neighbours joined.
    static func nonzero(_ loaded: [ContentPiece], in content: borrowing ChunkContent) throws(ImageError)
        -> [ContentPiece]
    {
        var found: [ContentPiece] = []
        for piece in loaded {
            try content.forEachRun(of: piece, limit: .max) { (bytes, distance) throws(ImageError) in
                let guest = piece.guest + distance
                let end = guest + UInt64(bytes.count)
                var start = guest
                while start < end {
                    let stop = min(end, (start / granule + 1) * granule)
                    if !ZeroDetector.isZero(bytes.extracting(Int(start - guest)..<Int(stop - guest))) {
                        let origin = piece.origin.advanced(by: start - piece.guest)
                        join(ContentPiece(guest: start, length: stop - start, origin: origin), to: &found)
                    }
                    start = stop
                }
            }
        }
        return found
    }

    private static func join(_ piece: ContentPiece, to found: inout [ContentPiece]) {
        if let last = found.indices.last, found[last].end == piece.guest,
            found[last].origin.advanced(by: found[last].length) == piece.origin
        {
            found[last].length += piece.length
        } else {
            found.append(piece)
        }
    }
}
