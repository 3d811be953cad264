internal import ImageCodecs
internal import ImageFormats
public import ImageModel

extension Conversion {
    /// The same conversion for a sink that can't go back, where one run can serve it.
    ///
    /// Where the head of the file is made of the content's fingerprint, the source is digested for it first, which takes one
    /// reading of it.
    ///
    /// - Returns: nil for a format whose head or tables are known last: its metadata has to be learned in a run before.
    /// - Throws: `invalid-option` or `limit-exceeded`; what the source throws; `cancelled`.
    public func goingForward() throws(ImageError) -> Conversion? {
        if try makeEncoder().goesForward { return self }
        var forward = self
        forward.identity = ContentIdentity(fingerprint: 0, virtualSize: image.virtualSize)
        let encoder = try forward.makeEncoder()
        guard encoder.goesForward else { return nil }
        // Of the disk as it will be, with the zeros by which an option rounds it up.
        let size = encoder.writtenSize ?? image.virtualSize
        var content = CRC64Sum()
        content.add(CRC64Sum(checksum: try image.fingerprint(work), length: image.virtualSize), startingAt: 0)
        forward.identity = ContentIdentity(fingerprint: content.checksum(length: size), virtualSize: size)
        return forward
    }

    /// - Throws: `source-changed` where the content is not what it was known to come to.
    func requireIdentity(_ found: ContentIdentity) throws(ImageError) {
        guard let identity, identity != found else { return }
        throw ImageError(
            .sourceChanged,
            "the source has fingerprint \(found.fingerprint), and had \(identity.fingerprint) when it was digested first; what was "
                + "written is not whole", path: image.file.name)
    }
}
