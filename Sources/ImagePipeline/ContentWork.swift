internal import ImageCodecs
internal import ImageFormats
public import ImageModel

extension DiskImage {
    /// CRC-64/XZ over the whole guest content, zeros included, read through the format's reader; blocks.
    ///
    /// Only stored bytes are read: zeros cost nothing, however many.
    ///
    /// - Throws: what the reader and the source throw; `cancelled`.
    public func fingerprint(_ work: WorkOptions = .init()) throws(ImageError) -> UInt64 {
        try run(.crc64ecma, length: virtualSize, work).crc64ecma
    }

    /// Checksums over the whole guest content, zeros included, read through the format's reader in one pass; blocks.
    ///
    /// CRC-64 is among them whether it was asked for or not.
    ///
    /// - Throws: what the reader and the source throw; `cancelled`.
    public func checksums(_ selection: ChecksumSelection, _ work: WorkOptions = .init()) throws(ImageError) -> Checksums
    {
        try run(selection, length: virtualSize, work)
    }

    /// Checksums over every byte of a source, whatever it holds.
    ///
    /// - Throws: what the source throws; `cancelled`.
    public static func checksums(
        ofBytesOf source: any ImageSource, _ selection: ChecksumSelection, _ work: WorkOptions = .init()
    ) throws(ImageError) -> Checksums {
        try DiskImage(source, format: .raw).run(selection, length: source.length, work)
    }

    /// - Parameter length: where the content ends, in bytes: the virtual size, or for a raw file its length to the byte.
    private func run(_ selection: ChecksumSelection, length: UInt64, _ work: WorkOptions) throws(ImageError)
        -> Checksums
    {
        let pass = ContentPass(self, selection, length: length, counter: CRC64Sum(), work)
        let (sum, digests) = try pass.run()
        var checksums = Checksums(crc64ecma: sum.checksum(length: length))
        digests?.finish(&checksums, length: length)
        return checksums
    }
}
