/// The sector of every format that Lathe knows: 512 bytes.
public let sectorSize: UInt64 = 512

/// A place in the disk that the guest sees, in bytes.
public struct GuestOffset: Hashable, Comparable, Sendable {
    public let bytes: UInt64

    public init(_ bytes: UInt64) { self.bytes = bytes }

    public static func < (left: Self, right: Self) -> Bool { left.bytes < right.bytes }
    public static func + (left: Self, distance: UInt64) -> Self { Self(left.bytes + distance) }
    public static func - (left: Self, right: Self) -> UInt64 { left.bytes - right.bytes }
}

/// A place in the image file or object, in bytes.
///
/// QEMU calls it the host offset.
public struct FileOffset: Hashable, Comparable, Sendable {
    public let bytes: UInt64

    public init(_ bytes: UInt64) { self.bytes = bytes }

    public static func < (left: Self, right: Self) -> Bool { left.bytes < right.bytes }
    public static func + (left: Self, distance: UInt64) -> Self { Self(left.bytes + distance) }
    public static func - (left: Self, right: Self) -> UInt64 { left.bytes - right.bytes }
}

/// A run of guest bytes: `start ..< end`.
public struct GuestRange: Hashable, Sendable {
    public var start: GuestOffset
    public var length: UInt64

    public init(start: GuestOffset, length: UInt64) {
        self.start = start
        self.length = length
    }

    public init(_ start: UInt64, length: UInt64) { self.init(start: GuestOffset(start), length: length) }

    public var end: GuestOffset { start + length }
    public var isEmpty: Bool { length == 0 }
}

/// A run of bytes of the image file: `start ..< end`.
public struct FileRange: Hashable, Sendable {
    public var start: FileOffset
    public var length: UInt64

    public init(start: FileOffset, length: UInt64) {
        self.start = start
        self.length = length
    }

    public init(_ start: UInt64, length: UInt64) { self.init(start: FileOffset(start), length: length) }

    /// All from an offset on, up to the greatest that there is.
    public init(from start: FileOffset) { self.init(start: start, length: .max - start.bytes) }

    public var end: FileOffset { start + length }
    public var isEmpty: Bool { length == 0 }
}

extension UInt64 {
    /// The smallest multiple of `step` that is not less than the value; nil where that leaves 64 bits.
    ///
    /// `step` is not 0.
    public func roundedUp(toMultipleOf step: UInt64) -> UInt64? {
        let remainder = self % step
        if remainder == 0 { return self }
        let (sum, overflow) = addingReportingOverflow(step - remainder)
        return overflow ? nil : sum
    }

    /// The greatest multiple of `step` that is not more than the value.
    ///
    /// `step` is not 0.
    public func roundedDown(toMultipleOf step: UInt64) -> UInt64 { self - self % step }

    /// How many steps it takes to cover the value: `ceil(value / step)`.
    ///
    /// `step` is not 0.
    public func dividedRoundingUp(by step: UInt64) -> UInt64 { self / step + (self % step == 0 ? 0 : 1) }
}
