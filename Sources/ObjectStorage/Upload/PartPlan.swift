/// How long the parts of an object are to be.
public enum PartPlan {
    /// What a part has where nothing asks for more, in bytes: long enough that a part's round trip does not show.
    public static let preferredLength: UInt64 = 8 << 20
    /// What a part has of an object whose length is known last, in bytes: 10,000 are 625 GiB.
    public static let lengthOfUnknown: UInt64 = 64 << 20
    /// Lengths are multiples of this, unless the caller names one.
    static let step: UInt64 = 1 << 20

    /// The length of every part but the last, in bytes.
    ///
    /// - Parameters:
    ///   - greatestLength: what the object may come to at most, in bytes; nil where that is not known.
    ///   - chosen: what the user asks for; nil chooses.
    /// - Throws: `invalid-request` where the object does not fit, or the chosen length is none that the store takes.
    public static func partLength(forObjectOf greatestLength: UInt64?, chosen: UInt64?, limits: MultipartLimits)
        throws(StoreError) -> UInt64
    {
        guard let greatestLength else {
            let length = min(max(lengthOfUnknown, limits.leastPartLength), limits.greatestPartLength)
            return try partLength(forObjectOf: 0, chosen: chosen ?? length, limits: limits)
        }
        let count = UInt64(limits.partCount)
        let needed = greatestLength / count + (greatestLength % count == 0 ? 0 : 1)
        guard needed <= limits.greatestPartLength else {
            throw StoreError(
                .invalidRequest,
                "the object may have \(greatestLength) bytes, more than \(count) parts of \(limits.greatestPartLength); the "
                    + "store does not take it: choose a compressed format, or a smaller disk")
        }
        if let chosen {
            guard (limits.leastPartLength...limits.greatestPartLength).contains(chosen) else {
                throw StoreError(
                    .invalidRequest,
                    "parts of \(chosen) bytes can't be sent; they have \(limits.leastPartLength) to "
                        + "\(limits.greatestPartLength) bytes")
            }
            guard chosen >= needed else {
                throw StoreError(
                    .invalidRequest,
                    "the object may have \(greatestLength) bytes, more than \(count) parts of \(chosen); it takes parts of at "
                        + "least \(needed)")
            }
            return chosen
        }
        let stepped = needed.dividedUp(by: step) * step
        return min(max(stepped, preferredLength, limits.leastPartLength), limits.greatestPartLength)
    }
}

extension UInt64 {
    fileprivate func dividedUp(by step: UInt64) -> UInt64 { self / step + (self % step == 0 ? 0 : 1) }
}
