// Integers in bytes, in either order, with every access checked by the span or the array that holds them.

extension Span where Element == UInt8 {
    /// The big-endian integer that starts at byte `index`, which the span must hold whole.
    @inlinable
    public func bigEndian<Integer: FixedWidthInteger>(_ type: Integer.Type = Integer.self, at index: Int) -> Integer {
        var value: Integer = 0
        for step in 0..<(Integer.bitWidth / 8) { value = value << 8 | Integer(truncatingIfNeeded: self[index + step]) }
        return value
    }

    /// The little-endian integer that starts at byte `index`, which the span must hold whole.
    @inlinable
    public func littleEndian<Integer: FixedWidthInteger>(_ type: Integer.Type = Integer.self, at index: Int) -> Integer
    {
        bigEndian(type, at: index).byteSwapped
    }
}

extension Array where Element == UInt8 {
    /// The big-endian integer that starts at byte `index`, which the array must hold whole.
    @inlinable
    public func bigEndian<Integer: FixedWidthInteger>(_ type: Integer.Type = Integer.self, at index: Int) -> Integer {
        span.bigEndian(type, at: index)
    }

    /// The little-endian integer that starts at byte `index`, which the array must hold whole.
    @inlinable
    public func littleEndian<Integer: FixedWidthInteger>(_ type: Integer.Type = Integer.self, at index: Int) -> Integer
    {
        span.littleEndian(type, at: index)
    }

    /// Puts an integer at byte `index`, most significant byte first.
    @inlinable
    public mutating func storeBigEndian<Integer: FixedWidthInteger>(_ value: Integer, at index: Int) {
        let width = Integer.bitWidth / 8
        for step in 0..<width {
            self[index + step] = UInt8(truncatingIfNeeded: value >> Integer(8 * (width - 1 - step)))
        }
    }

    /// Puts an integer at byte `index`, least significant byte first.
    @inlinable
    public mutating func storeLittleEndian<Integer: FixedWidthInteger>(_ value: Integer, at index: Int) {
        storeBigEndian(value.byteSwapped, at: index)
    }

    /// Puts `bytes` at byte `index`; the array must have room for all of them.
    public mutating func store(_ bytes: some Sequence<UInt8>, at index: Int) {
        for (step, byte) in bytes.enumerated() { self[index + step] = byte }
    }

    /// Whether every byte is zero.
    public var isZero: Bool { allSatisfy { $0 == 0 } }
}
