internal import ImageFormats
public import ImageModel

/// How long an image would be.
public struct Measurement: Hashable, Sendable {
    /// In bytes, what the conversion comes to, to the byte.
    public var required: UInt64
    /// In bytes, what it would come to at most if no byte of the disk were zero and nothing shrank when it is compressed; nil
    /// where the format can't hold so much.
    public var fullyAllocated: UInt64?
}

extension Conversion {
    /// Measures the image that `run` would make, without making it; blocks.
    ///
    /// All is read, scanned, compressed where the format asks for it, and placed, and nothing is written. Of a disk with nothing in
    /// it, or with all of it stored as it is, only the encoder is asked.
    ///
    /// - Throws: what the source and the encoder throw; `cancelled`.
    public func measure() throws(ImageError) -> Measurement {
        let required = try requiredLength()
        do throws(ImageError) {
            return Measurement(required: required, fullyAllocated: try greatestLength(ofWholeDisk: true))
        } catch {
            guard error.code == .limitExceeded else { throw error }
            return Measurement(required: required, fullyAllocated: nil)
        }
    }

    private func requiredLength() throws(ImageError) -> UInt64 {
        var encoder = try makeEncoder()
        if sparsePolicy == .noHoles {
            guard encoder.storage == .plain, image.source.isLengthKnown else {
                return try run(into: NullSink()).objectLength
            }
            return try encoder.greatestLength()
        }
        var dispenser = ChunkDispenser(image, chunkSize: max(WorkOptions.defaultChunkSize, encoder.unitSize))
        guard image.source.isLengthKnown, try dispenser.next() == nil else {
            return try run(into: NullSink()).objectLength
        }
        var metadata: [MetadataSegment] = []
        let length = try encoder.finish(
            content: ContentIdentity(fingerprint: 0, virtualSize: encoder.writtenSize ?? image.virtualSize),
            metadata: &metadata)
        try image.source.requireUnchanged()
        return encoder.files.isEmpty ? length : encoder.files.reduce(0) { $0 + $1.range.length }
    }
}
