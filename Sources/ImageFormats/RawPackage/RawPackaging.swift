import ImageModel

/// How a raw disk is packed: what the option `package` can say.
public enum RawPackaging: String, CaseIterable, Hashable, Sendable {
    /// As the one file of an archive.
    case tarGzip = "tar.gz"
    /// As a gzip file.
    case gzip = "gz"
    /// As a zstd file.
    case zstandard = "zst"

    /// What a disk in such a package has to be read as.
    public var format: ImageFormat {
        switch self {
        case .tarGzip: .rawPackage
        case .gzip: .rawGzip
        case .zstandard: .rawZstandard
        }
    }

    /// How the stored bytes of a unit are encoded, behind the frame's header.
    var method: CompressionMethod { self == .zstandard ? .zstd : .gzip }

    /// The `compression_level`s that there are.
    public var compressionLevels: ClosedRange<Int> { self == .zstandard ? 1...19 : 1...12 }

    /// The `compression_level` where none is given.
    ///
    /// A package is there for the way into a store and out again, so it is the fast one of gzip; of zstd it is its own default.
    /// In units of 64 KiB of a Debian file system, ISA-L's level 1 leaves 38.3 % at 530 MB/s and core, libdeflate's 2 35.7 % at 163.
    public var defaultCompressionLevel: Int { self == .zstandard ? 3 : 1 }

    /// What compresses the units: of deflate, level 1 is the fast one of ISA-L, and the others are libdeflate's.
    ///
    /// Every unit has a checksum of its content: a zstd frame where it is asked for, a gzip member always.
    func compression(level: Int) -> UnitCompression {
        guard self != .zstandard else { return UnitCompression(.zstd, by: .zstd, level: level, hasChecksum: true) }
        return UnitCompression(.gzip, by: level == 1 ? .isal : .libdeflate, level: level)
    }

    // MARK: - Frames

    /// What stands in front of the length in the header of each unit's frame.
    var fixedFields: [UInt8] {
        switch self {
        case .tarGzip: GzipMember.fixedFields(tag: "LT", fieldLength: 4)
        case .gzip: GzipMember.fixedFields(tag: "LR", fieldLength: 4)
        case .zstandard: ZstandardFrame.skippableHeader(tag: "LRU1", fieldLength: 4)
        }
    }

    /// Bytes in front of a unit's stored bytes.
    var headerLength: UInt64 { UInt64(fixedFields.count) + 4 }

    /// The header of a unit's frame.
    ///
    /// - Parameter length: of the whole frame, header included.
    func header(length: UInt32) -> [UInt8] {
        var bytes = fixedFields + [0, 0, 0, 0]
        bytes.storeLittleEndian(length, at: bytes.count - 4)
        return bytes
    }

    /// What the header of a frame says of its length.
    ///
    /// - Parameter bytes: from the start of a frame on.
    /// - Returns: nil where these are fewer than a header, or none.
    func length(of bytes: ArraySlice<UInt8>) -> UInt32? {
        let fixed = fixedFields
        guard bytes.count >= fixed.count + 4, bytes.starts(with: fixed) else { return nil }
        return Array(bytes.dropFirst(fixed.count).prefix(4)).littleEndian(at: 0)
    }

    /// The lengths that the frame of a unit of so much content can have: less is a lie, and more is never written.
    func lengths(contentLength: UInt64) -> ClosedRange<UInt64> {
        let inner =
            self == .zstandard
            ? ZstandardFrame.lengths(contentLength: contentLength) : GzipMember.lengths(contentLength: contentLength)
        return headerLength + inner.lowerBound...headerLength + inner.upperBound
    }

    /// The frame of a unit of zeros, made without a compressor.
    func zeros(_ count: UInt64) -> [UInt8] {
        let stored = self == .zstandard ? ZstandardFrame.zeros(count) : GzipMember.zeros(count)
        return header(length: UInt32(headerLength) + UInt32(stored.count)) + stored
    }

    // MARK: - What stands around the units

    /// What the file begins with, in front of the first unit.
    func head(_ header: TarHeader) -> [UInt8] {
        switch self {
        case .tarGzip:
            let stored = GzipMember.storing(header.encoded())
            return self.header(length: UInt32(headerLength) + UInt32(stored.count)) + stored
        case .gzip: return []
        // Programs know a zstd file by its first bytes, which must be those of a frame with content, be it none.
        case .zstandard: return ZstandardFrame.empty
        }
    }

    /// Bytes of the head.
    var headLength: UInt64 { UInt64(head(TarHeader(name: "", size: 0, timestamp: 0)).count) }

    /// What the file ends with, behind the last unit; it says the size of the disk where the head does not.
    ///
    /// - Parameter size: of the disk, in bytes.
    func tail(size: UInt64) -> [UInt8] {
        var bytes: [UInt8]
        switch self {
        case .tarGzip: return zeros(TarHeader.tailLength(fileSize: size))
        case .gzip: bytes = GzipMember.fixedFields(tag: "LE", fieldLength: 8)
        case .zstandard: bytes = ZstandardFrame.skippableHeader(tag: "LRE1", fieldLength: 8)
        }
        bytes += [UInt8](repeating: 0, count: 8)
        bytes.storeLittleEndian(size, at: bytes.count - 8)
        // A gzip member has content, be it none: a last block with fixed codes that ends at once, CRC-32 and length.
        return self == .gzip ? bytes + [3, 0] + [UInt8](repeating: 0, count: 8) : bytes
    }

    /// Whether a file begins as ours do.
    ///
    /// - Parameter start: the first bytes of the file, 64 or all.
    func begins(_ start: [UInt8]) -> Bool {
        let head = self == .zstandard ? ZstandardFrame.empty : []
        guard start.starts(with: head) else { return false }
        let rest = start.dropFirst(head.count)
        // An empty disk has no unit.
        return rest.starts(with: fixedFields) || size(inTail: Array(rest)) == 0
    }

    /// The size that the end of a file says; nil where it is none, or says none.
    ///
    /// - Parameter tail: as many bytes as `tail(size:)` has.
    func size(inTail tail: [UInt8]) -> UInt64? {
        let behind = self == .gzip ? 10 : 0
        guard self != .tarGzip, tail.count == self.tail(size: 0).count else { return nil }
        let size: UInt64 = tail.littleEndian(at: tail.count - behind - 8)
        return self.tail(size: size) == tail ? size : nil
    }
}

extension ImageFormat {
    /// How the raw disk is packed; nil for what is no package.
    public var packaging: RawPackaging? { RawPackaging.allCases.first { $0.format == self } }
}
