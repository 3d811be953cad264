import ImageCodecs
import ImageFormats
import ImageModel

/// Counts the bytes of an image file: those of its parts and, where the file's mapping is known, those of its content.
private struct ObjectCounter: ContentCounter {
    var parts: PartSums
    var content = CRC64Sum()
    let runs: StoredRuns?

    /// - Parameter guest: the place in the file, which is taken for a raw disk here.
    mutating func count(_ bytes: Span<UInt8>, at guest: GuestOffset) {
        let start = FileOffset(guest.bytes)
        guard let runs else {
            parts.add(bytes, at: start)
            return
        }
        // Taken out and put back, and not copied: a second reference to the sums would make each call copy them all.
        var parts = PartSums()
        swap(&parts, &self.parts)
        var content = content
        runs.forEachPiece(of: FileRange(start: start, length: UInt64(bytes.count))) { piece, guest in
            let first = Int(piece.start - start)
            parts.add(bytes.extracting(first..<first + Int(piece.length)), at: piece.start) { remainder, end in
                if let guest { content.add(remainder, endingAt: guest.bytes + UInt64(end)) }
            }
        }
        self.parts = parts
        self.content = content
    }

    mutating func add(_ other: Self) {
        parts.add(other.parts)
        content.add(other.content)
    }
}

/// The front of another source.
struct PrefixSource: ImageSource {
    private let whole: any ImageSource
    let length: UInt64

    init(_ whole: any ImageSource, length: UInt64) {
        self.whole = whole
        self.length = min(length, whole.length)
    }

    var name: String { whole.name }

    func withBytes<Result>(of range: FileRange, _ body: (Span<UInt8>) throws(ImageError) -> Result) throws(ImageError)
        -> Result
    {
        try requireHeld(range)
        return try whole.withBytes(of: range, body)
    }

    func nextData(from start: FileOffset, limit: FileOffset) throws(ImageError) -> FileRange? {
        try whole.nextData(from: start, limit: limit)
    }

    func read(_ range: FileRange, into buffer: inout [UInt8], at index: Int) throws(ImageError) {
        try requireHeld(range)
        try whole.read(range, into: &buffer, at: index)
    }

    func requireUnchanged() throws(ImageError) { try whole.requireUnchanged() }
}

/// What one pass over an image file says of it.
struct ObjectPass {
    var object: Checksums
    var parts: PartChecksums
    /// CRC-64/XZ of the disk's content; nil where it takes a pass of its own.
    var fingerprint: UInt64?

    /// Reads the file once, in its own order; blocks.
    ///
    /// - Parameters:
    ///   - image: the disk in it, where that can be read.
    ///   - partLength: in bytes.
    /// - Throws: what the source throws; `cancelled`.
    init(
        _ source: any ImageSource, holding image: DiskImage?, partLength: UInt64, _ selection: ChecksumSelection,
        _ work: WorkOptions
    ) throws(ImageError) {
        var runs: StoredRuns?
        // Tables that can't be walked are the checker's finding; the bytes can be counted all the same.
        if let image { runs = try? StoredRuns(of: image) }
        let file = try DiskImage(source, format: .raw)
        let counter = ObjectCounter(parts: PartSums(partLength: partLength), runs: runs)
        let pass = ContentPass(file, selection, length: source.length, counter: counter, work)
        let (counted, digests) = try pass.run()
        let checksums = counted.parts.checksums(length: source.length)
        object = Checksums(crc64ecma: checksums.object)
        digests?.finish(&object, length: source.length)
        parts = checksums.parts
        if let image, runs != nil { fingerprint = counted.content.checksum(length: image.virtualSize) }
    }
}
