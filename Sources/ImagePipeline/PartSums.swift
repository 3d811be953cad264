internal import ImageCodecs
public import ImageModel

/// The CRC-64 of every part of an object, from pieces in any order; parts that nothing was added to are zero.
struct PartSums: Sendable {
    /// The length of a part, in bytes: what a store takes at once, and little enough to be fetched again.
    static let partLength: UInt64 = 8 << 20

    private var sums: [UInt64: CRC64Sum] = [:]
    private let partLength: UInt64

    /// - Parameter partLength: in bytes; not 0.
    init(partLength: UInt64 = Self.partLength) { self.partLength = partLength }

    /// Cuts bytes at part borders, and adds each piece's remainder.
    ///
    /// - Parameter body: is told each piece's remainder, and where in `bytes` the piece ends.
    mutating func add(_ bytes: Span<UInt8>, at offset: FileOffset, _ body: (UInt64, Int) -> Void = { _, _ in }) {
        var done = 0
        while done < bytes.count {
            let place = offset.bytes + UInt64(done)
            let part = place / partLength
            let partStart = part * partLength
            let count = Int(min(UInt64(bytes.count - done), partStart + partLength - place))
            let remainder = CRC64Sum.remainder(bytes.extracting(done..<done + count))
            done += count
            sums[part, default: CRC64Sum()].add(remainder, endingAt: offset.bytes + UInt64(done) - partStart)
            body(remainder, done)
        }
    }

    /// Adds what another thread has.
    mutating func add(_ other: PartSums) { sums.merge(other.sums) { one, two in one.adding(two) } }

    /// The CRC-64s of an object of some length, and of its parts.
    func checksums(length: UInt64) -> (object: UInt64, parts: PartChecksums) {
        var object = CRC64Sum()
        for (part, sum) in sums { object.add(sum, startingAt: part * partLength) }
        let joined = PartChecksums.partLength([length], atLeast: partLength)
        return (
            object.checksum(length: length),
            PartChecksums(sums, of: partLength, joinedTo: joined, objectLength: length)
        )
    }
}

/// One of several files of an image.
public struct WrittenFile: Hashable, Sendable {
    /// Without a directory.
    public var name: String
    /// In bytes.
    public var length: UInt64
    /// nil where no checksum was asked for.
    public var checksums: Checksums?
}

/// What an image's files come to, and all of them one behind the other.
struct FileSums {
    /// Of all files, in bytes.
    var length: UInt64
    var crc64ecma: UInt64
    /// CRC-64 of each of several files.
    var files: [UInt64] = []
    /// Each file begins a part.
    var parts: PartChecksums

    init(_ object: (object: UInt64, parts: PartChecksums), length: UInt64) {
        self.length = length
        crc64ecma = object.object
        parts = object.parts
    }

    /// - Parameters:
    ///   - sums: of the parts of each file, by their index in it.
    ///   - lengths: of the files, in bytes.
    fileprivate init(_ sums: [[UInt64: CRC64Sum]], of shortLength: UInt64, lengths: [UInt64]) {
        let partLength = PartChecksums.partLength(lengths, atLeast: shortLength)
        parts = PartChecksums(length: partLength, crc64ecma: [])
        for (sums, length) in zip(sums, lengths) {
            let own = PartChecksums(sums, of: shortLength, joinedTo: partLength, objectLength: length)
            files.append(own.object(length: length))
            parts.crc64ecma += own.crc64ecma
        }
        length = lengths.reduce(0, +)
        crc64ecma = CRC64Sum.checksum(ofFiles: zip(files, lengths).map { (crc64ecma: $0, length: $1) })
    }
}

extension CRC64Sum {
    /// The CRC-64/XZ of files one behind the other, by those of each and their lengths.
    static func checksum(ofFiles files: [(crc64ecma: UInt64, length: UInt64)]) -> UInt64 {
        var all = CRC64Sum()
        var length: UInt64 = 0
        for file in files {
            all.add(CRC64Sum(checksum: file.crc64ecma, length: file.length), startingAt: length)
            length += file.length
        }
        return all.checksum(length: length)
    }
}

extension PartSums {
    /// The CRC-64s of the files of an image of several, whose places are in this address space.
    func checksums(files: [MemberFile]) -> FileSums {
        let starts = files.map { $0.range.start.bytes / partLength }
        var ofFiles = [[UInt64: CRC64Sum]](repeating: [:], count: files.count)
        for (part, sum) in sums {
            // The last file that begins at or before the part.
            var (low, high) = (0, starts.count)
            while high - low > 1 {
                let middle = (low + high) / 2
                if starts[middle] <= part { low = middle } else { high = middle }
            }
            ofFiles[low][part - starts[low]] = sum
        }
        return FileSums(ofFiles, of: partLength, lengths: files.map(\.range.length))
    }
}

extension CRC64Sum {
    fileprivate func adding(_ other: CRC64Sum) -> CRC64Sum {
        var sum = self
        sum.add(other)
        return sum
    }
}

/// The CRC-64/XZ of each part of an object: tells which of them is damaged.
public struct PartChecksums: Hashable, Sendable {
    /// More parts than these are joined by twos until they are no more: a list stays below 2 MiB.
    static let mostParts: UInt64 = 65536

    /// In bytes: 8 MiB, or for an object of more than 512 GiB the least power of two by which there are no more than 65536
    /// parts; the last part may be shorter.
    public var length: UInt64
    /// In the order of the object; empty for an empty object.
    public var crc64ecma: [UInt64]

    init(length: UInt64, crc64ecma: [UInt64]) {
        self.length = length
        self.crc64ecma = crc64ecma
    }

    /// The length of the parts of files so that they are not too many.
    fileprivate static func partLength(_ files: [UInt64], atLeast shortLength: UInt64) -> UInt64 {
        var length = shortLength
        while count(files, length) > mostParts { length *= 2 }
        return length
    }

    /// How many parts files have of which each begins one.
    static func count(_ files: [UInt64], _ length: UInt64) -> UInt64 {
        files.reduce(0) { $0 + $1.dividedRoundingUp(by: length) }
    }

    fileprivate init(
        _ sums: [UInt64: CRC64Sum], of shortLength: UInt64, joinedTo length: UInt64, objectLength: UInt64
    ) {
        self.length = length
        let joined = length / shortLength
        var parts: [UInt64: CRC64Sum] = [:]
        for (part, sum) in sums {
            parts[part / joined, default: CRC64Sum()].add(sum, startingAt: part % joined * shortLength)
        }
        let zero = CRC64Sum().checksum(length: length)
        crc64ecma = []
        for part in 0..<objectLength.dividedRoundingUp(by: length) {
            let partLength = min(length, objectLength - part * length)
            let sum = parts[part] ?? CRC64Sum()
            crc64ecma.append(sum.isZero && partLength == length ? zero : sum.checksum(length: partLength))
        }
    }

    /// The CRC-64/XZ of the whole object, by those of its parts.
    ///
    /// A checksum has all ones added in front and at the end: taken away again, it is a sum that starts at the part's start.
    func object(length objectLength: UInt64) -> UInt64 {
        var object = CRC64Sum()
        for (index, checksum) in crc64ecma.enumerated() {
            let range = range(ofPart: index, objectLength: objectLength)
            object.add(CRC64Sum(checksum: checksum, length: range.length), startingAt: range.start.bytes)
        }
        return object.checksum(length: objectLength)
    }

    /// The file range of a part of an object.
    public func range(ofPart index: Int, objectLength: UInt64) -> FileRange {
        let start = UInt64(index) * length
        return FileRange(start, length: min(length, objectLength - start))
    }
}
