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
        guard try forward.makeEncoder().goesForward else { return nil }
        forward.identity = ContentIdentity(fingerprint: try image.fingerprint(work), virtualSize: image.virtualSize)
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
