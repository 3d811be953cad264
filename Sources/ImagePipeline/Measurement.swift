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
    /// Measures the image that `run` would make, without making it: all is read, scanned, compressed where the format asks for it,
    /// and placed, and nothing is written; blocks.
    ///
    /// - Throws: what the source and the encoder throw; `cancelled`.
    public func measure() throws(ImageError) -> Measurement {
        let required = try run(into: NullSink()).objectLength
        do throws(ImageError) {
            return Measurement(required: required, fullyAllocated: try greatestLength(ofWholeDisk: true))
        } catch {
            guard error.code == .limitExceeded else { throw error }
            return Measurement(required: required, fullyAllocated: nil)
        }
    }
}
