import ImageModel

/// Finds the image that lies under a differencing VDI.
///
/// Such an image names no file: it has the UUID by which its parent was made, and the one that the parent had when it was last
/// written to. VirtualBox keeps in a registry of its own which file that is; without, the files of the folder are looked at.
///
/// Source: VirtualBox `VDICore.h` (`uuidLinkage`, `uuidParentModify`).
struct VDIParent {
    private let creationUUID: [UInt8]
    private let modificationUUID: [UInt8]

    init(_ header: VDIHeader) {
        creationUUID = header.linkageUUID
        modificationUUID = header.parentModificationUUID
    }

    /// - Throws: `external-reference` where no file may be opened, or none is the parent; `mismatch` where the parent was written to
    ///   since, or more than one file may be it.
    func find(_ references: any ReferencedFiles, for image: any ImageSource) throws(ImageError) -> any ImageSource {
        let purpose = "this VDI is a differencing image whose content is partly in a parent file"
        let wanted = uuidText(littleEndianFields: creationUUID)
        let found: [any ImageSource]
        do throws(ImageError) {
            found = try references.search(ending: ".vdi", beside: image.name) { (source) throws(ImageError) in
                try VDIHeader(source: source).creationUUID == creationUUID
            }
        } catch {
            throw error.explained(purpose)
        }
        guard let first = found.first else {
            throw ImageError(
                .externalReference,
                "\(purpose); it names it only by its UUID \(wanted), and no *.vdi with that is beside the image or in the "
                    + "directory of '--allow-backing'", path: image.name)
        }
        var parents: [any ImageSource] = []
        for source in found where try VDIHeader(source: source).modificationUUID == modificationUUID {
            parents.append(source)
        }
        guard let parent = parents.first else {
            let now = try VDIHeader(source: first).modificationUUID
            throw ImageError(
                .mismatch,
                "the VDI's parent \(wanted) was last written to as \(uuidText(littleEndianFields: modificationUUID)), but "
                    + "'\(first.name)' has been since, as \(uuidText(littleEndianFields: now)): what shows through then is "
                    + "not what the disk had", path: image.name)
        }
        guard parents.count == 1 else {
            throw ImageError(
                .mismatch,
                "both '\(parent.name)' and '\(parents[1].name)' have the UUIDs of the VDI's parent, \(wanted); leave only the "
                    + "right one there", path: image.name)
        }
        return parent
    }
}
