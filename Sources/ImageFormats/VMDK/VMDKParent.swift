import ImageModel

/// What a link of a chain says of the disk under it.
///
/// Source: VMware Virtual Disk Format 5.0, `parentCID` and `parentFileNameHint`.
struct VMDKParent: Sendable {
    let contentID: UInt32
    let name: String
    let encoding: String?

    /// - Returns: nil for a disk that is whole by itself.
    /// - Throws: `external-reference` where the descriptor has a parent and does not say which file that is.
    init?(_ descriptor: VMDKDescriptor, path: String) throws(ImageError) {
        guard descriptor.parentContentID != VMDKDescriptor.noParent else { return nil }
        guard let name = descriptor.parentName else {
            throw ImageError(
                .externalReference,
                "this VMDK is a link of a chain whose content is partly in a parent (parentCID is "
                    + "\(hex(descriptor.parentContentID).dropFirst(2)), expected ffffffff for a whole disk), but it does not say "
                    + "in which file (parentFileNameHint)", path: path)
        }
        contentID = descriptor.parentContentID
        self.name = name
        encoding = descriptor.encoding
    }

    /// Opens the parent, and sees that it has the content that the link was made over.
    ///
    /// - Throws: `external-reference` or `input-output` where it can't be opened; `mismatch` where it is another disk, or was
    ///   written to since; `corrupt` where it is no VMDK.
    func open(_ references: any ReferencedFiles, for image: any ImageSource) throws(ImageError) -> any ImageSource {
        let purpose = "this VMDK is a link of a chain whose content is partly in a parent file"
        let parent = try references.open(name, in: encoding, because: purpose, namedBy: image)
        guard let found = try VMDKFile(source: parent).descriptor else {
            throw ImageError(
                .mismatch,
                "the parent '\(parent.name)' of the VMDK is an extent without a descriptor: whether it is the right one can't "
                    + "be told; name its descriptor file in parentFileNameHint", path: image.name)
        }
        guard found.contentID == contentID else {
            throw ImageError(
                .mismatch,
                "the VMDK's parent had the content ID \(hex(contentID).dropFirst(2)), but '\(parent.name)' has "
                    + "\(hex(found.contentID).dropFirst(2)): it is another disk or has been written to since, and what shows "
                    + "through then is not what the disk had", path: image.name)
        }
        return parent
    }
}
