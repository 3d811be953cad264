public import ImageModel

// The files that a qcow2 image names: what lies under it, and what its content is in.
// Source: QEMU `docs/interop/qcow2.rst`, sections "Header" (backing file) and "Header extensions".

extension QCOW2Header {
    /// What the image calls its backing file, as `PathText` has it.
    func backingFileName(in source: any ImageSource) throws(ImageError) -> String? {
        guard hasBackingFile else { return nil }
        return PathText.text(of: try source.read(FileRange(backingFileOffset, length: UInt64(backingFileSize))))
    }

    /// What the image calls the format of its backing file; nil where it says none.
    ///
    /// - Throws: `corrupt` for a name that is too long, or not UTF-8.
    func backingFormat(in source: any ImageSource) throws(ImageError) -> String? {
        guard hasBackingFile, let place = backingFormatName else { return nil }
        guard place.length <= ImageLimits.QCOW2.formatNameLength else {
            throw ImageError(
                .corrupt,
                "qcow2 has a name of \(place.length) bytes for the backing file's format, expected at most "
                    + "\(ImageLimits.QCOW2.formatNameLength)", path: source.name, offset: place.start)
        }
        return try text(place, "name of the backing file's format", source)
    }

    /// What the image calls its data file, as `PathText` has it.
    ///
    /// - Throws: `corrupt` for a name that is absent or too long.
    func externalDataFileName(in source: any ImageSource) throws(ImageError) -> String? {
        guard hasDataFile else { return nil }
        guard let place = dataFileName, !place.isEmpty, place.length <= UInt64(ReferencedName.maximumLength) else {
            throw ImageError(
                .corrupt,
                "this qcow2 image has its content in an external data file, but in \(dataFileName?.length ?? 0) bytes of its "
                    + "name, expected 1 to \(ReferencedName.maximumLength), it does not say in which",
                path: source.name,
                offset: FileOffset(72))
        }
        return PathText.text(of: try source.read(place))
    }

    private func text(_ range: FileRange, _ what: String, _ source: any ImageSource) throws(ImageError) -> String {
        let bytes = try source.read(range)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ImageError(
                .corrupt, "the \(what) in the qcow2 image is not UTF-8", path: source.name, offset: range.start)
        }
        return text
    }
}

extension QCOW2Reader {
    /// Opens the backing file.
    ///
    /// Its format is the one that the image declares. Where it declares none, the content must show it without a doubt: a raw
    /// disk shows nothing, and what looks like another format may be what a guest wrote into one (CVE-2014-0144 and its kin
    /// began so); hence a raw backing file is read only where it is declared.
    public func openParent(_ references: any ReferencedFiles, of source: any ImageSource) throws(ImageError)
        -> ParentImage?
    {
        guard let name = try header.backingFileName(in: source) else { return nil }
        let purpose = "this qcow2 image has only what differs from a backing file"
        let backing: QCOW2BackingName
        do throws(ImageError) { backing = try QCOW2BackingName(name, in: source.name) } catch {
            throw error.explained(purpose)
        }
        let declared = try declaredFormat(backing, in: source) ?? references.undeclaredFormat
        let format = try declared.map { (declared) throws(ImageError) in
            try Self.format(declared, of: backing.path, in: source)
        }
        let parent = try references.open(backing.path, because: purpose, namedBy: source)
        if let format { return ParentImage(source: parent, format: format) }
        return ParentImage(source: parent, format: try Self.detect(parent, named: backing.path, by: source))
    }

    /// The format that the image gives its backing file, in its header or in the name itself.
    ///
    /// - Throws: `corrupt` where it gives two.
    private func declaredFormat(_ backing: QCOW2BackingName, in source: any ImageSource) throws(ImageError) -> String? {
        guard let declared = try header.backingFormat(in: source) else { return backing.format }
        guard let named = backing.format, named != declared else { return declared }
        throw ImageError(
            .corrupt,
            "the qcow2 image says that its backing file is of the format '\(ReferencedName.shown(declared))', and in the file's name "
                + "that it is of '\(ReferencedName.shown(named))'; which one holds can't be told", path: source.name)
    }

    private static func detect(_ parent: any ImageSource, named name: String, by source: any ImageSource)
        throws(ImageError) -> ImageFormat
    {
        var doubt: ImageError?
        do throws(ImageError) {
            let detected = try FormatDetection.detect(parent, name: name)
            if detected != .raw { return detected }
        } catch {
            guard error.code == .ambiguousFormat else { throw error }
            doubt = error
        }
        throw ImageError(
            .ambiguousFormat,
            "the qcow2 image does not say in which format its backing file is, and the file does not show it without a "
                + "doubt; say it with '--backing-format', or write it into the image ('qemu-img rebase -u -F FORMAT -b …')",
            path: source.name, cause: doubt
        )
    }

    private static func format(_ declared: String, of name: String, in source: any ImageSource) throws(ImageError)
        -> ImageFormat
    {
        // A name of QEMU's for something else (a protocol, a format of ours that QEMU has not) is none of these.
        guard let format = ImageFormat(name: declared), format.packaging == nil else {
            throw ImageError(
                .unsupported,
                "the qcow2 image says that its backing file '\(ReferencedName.shown(name))' is of the format "
                    + "'\(ReferencedName.shown(declared))'; Lathe reads raw, vpc, qcow2, vmdk and vdi",
                path: source.name)
        }
        return format
    }
}
