internal import ImageCodecs

/// Bytes that a body is made of, somewhere in memory.
public protocol BodyContent: Sendable {
    /// Lends the bytes of a range within the content; the span is good until `body` returns.
    func withBytes(of range: Range<UInt64>, _ body: (Span<UInt8>) throws(StoreError) -> Void) throws(StoreError)
}

/// What is sent as an object or a part: it can be sent again, and its length and CRC-64 are known before.
public struct ObjectBody: Sendable {
    /// In bytes.
    public let length: UInt64
    /// CRC-64/XZ of all bytes.
    public let crc64: UInt64

    private let content: any BodyContent
    private var pace: (@Sendable (_ bytes: Int) throws(StoreError) -> Void)?
    /// Who paces the body wants no longer pieces, in bytes.
    private var pacedLength = Int.max

    /// - Parameter crc64: what the CRC-64/XZ of the content is known to be.
    public init(_ content: any BodyContent, length: UInt64, crc64: UInt64) {
        self.content = content
        self.length = length
        self.crc64 = crc64
    }

    public init(_ bytes: [UInt8]) {
        self.init(ByteArray(bytes: bytes), length: UInt64(bytes.count), crc64: CRC64.checksum(bytes.span))
    }

    /// So many zeros.
    public init(zeros length: UInt64) {
        self.init(Zeros(), length: length, crc64: CRC64Sum().checksum(length: length))
    }

    /// The same body, which asks `pace` before each piece that it hands out: to wait, to count, or to stop by an error.
    ///
    /// It is asked for 0 bytes now and then while the network is waited for.
    ///
    /// - Parameter pieceLength: of the longest piece that it is asked for, in bytes, not 0.
    public func paced(
        inPiecesOf pieceLength: Int = .max, _ pace: @escaping @Sendable (_ bytes: Int) throws(StoreError) -> Void
    ) -> ObjectBody {
        var body = self
        body.pacedLength = min(pacedLength, pieceLength)
        let inner = self.pace
        body.pace = { (bytes) throws(StoreError) in
            try inner?(bytes)
            try pace(bytes)
        }
        return body
    }

    /// Asks who paces the body whether it is still wanted, while its bytes are under way; throws what `pace` throws.
    ///
    /// Whoever keeps it keeps none of the bytes in memory.
    public var requireWanted: @Sendable () throws(StoreError) -> Void {
        let pace = pace
        return { () throws(StoreError) -> Void in try pace?(0) }
    }

    /// The same body without anything that paces it: for a look at the bytes that sends none of them.
    public var unpaced: ObjectBody {
        var body = self
        body.pace = nil
        body.pacedLength = .max
        return body
    }

    /// Hands out the bytes in order, in pieces of at most `pieceLength`; blocks where the body is paced.
    public func forEachPiece(
        ofAtMost pieceLength: Int = 256 << 10, _ body: (Span<UInt8>) throws(StoreError) -> Void
    ) throws(StoreError) {
        let pieceLength = UInt64(min(pieceLength, pacedLength))
        var start: UInt64 = 0
        while start < length {
            let end = min(start + pieceLength, length)
            try pace?(Int(end - start))
            try content.withBytes(of: start..<end, body)
            start = end
        }
    }
}

private struct ByteArray: BodyContent {
    let bytes: [UInt8]

    func withBytes(of range: Range<UInt64>, _ body: (Span<UInt8>) throws(StoreError) -> Void) throws(StoreError) {
        try body(bytes.span.extracting(Int(range.lowerBound)..<Int(range.upperBound)))
    }
}

private struct Zeros: BodyContent {
    private static let zeros = [UInt8](repeating: 0, count: 256 << 10)

    func withBytes(of range: Range<UInt64>, _ body: (Span<UInt8>) throws(StoreError) -> Void) throws(StoreError) {
        var left = range.upperBound - range.lowerBound
        while left > 0 {
            let step = min(left, UInt64(Self.zeros.count))
            try body(Self.zeros.span.extracting(0..<Int(step)))
            left -= step
        }
    }
}
