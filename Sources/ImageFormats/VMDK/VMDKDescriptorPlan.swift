import ImageModel

/// What of a descriptor is settled before the content is known.
struct VMDKDescriptorPlan: Hashable, Sendable {
    /// The extent's name in a disk of one file.
    ///
    /// It follows no path, so that the same disk is the same bytes wherever it is written; in a disk of one file, no
    /// program needs it to find that file.
    static let extentName = "disk.vmdk"

    var subformat: VMDKSubformat
    var adapter: VMDKAdapter
    var hardwareVersion: Int
    /// In sectors.
    var capacity: UInt64
    /// The extents where they are files of their own; nil for a disk of one file.
    var files: VMDKFileSet?

    /// The text, whose length does not depend on the content.
    ///
    /// There is no `ddb.uuid.image`: VirtualBox makes one of its own for an image without, and so takes a second copy of
    /// the same image, which it refuses where both bring the same.
    func text(for content: ContentIdentity) -> [UInt8] {
        let contentID = Self.contentID(content)
        let geometry = adapter.geometry(sectors: capacity)
        let longID = (0..<3).map { word32(content.word($0, for: "vmdk.longContentID")) }.joined() + word32(contentID)
        let text = """
            # Disk DescriptorFile
            version=1
            CID=\(word32(contentID))
            parentCID=ffffffff
            createType="\(subformat.rawValue)"

            # Extent description
            \(extentLines)

            # The Disk Data Base
            #DDB

            ddb.adapterType = "\(adapter.rawValue)"
            ddb.geometry.cylinders = "\(geometry.cylinders)"
            ddb.geometry.heads = "\(geometry.heads)"
            ddb.geometry.sectors = "\(geometry.sectors)"
            ddb.longContentID = "\(longID)"
            ddb.virtualHWVersion = "\(hardwareVersion)"

            """
        return PathText.bytes(of: text)
    }

    /// Bytes of the text.
    var length: Int { text(for: ContentIdentity(fingerprint: 0, virtualSize: 0)).count }

    private var extentLines: String {
        if let files { return files.lines }
        // RDONLY is what VMware and VirtualBox write for a stream. QEMU takes only RW, but reads no extent line of a disk
        // in one file; Glance takes both.
        let access = subformat == .streamOptimized ? "RDONLY" : "RW"
        return "\(access) \(capacity) SPARSE \"\(Self.extentName)\""
    }

    /// A content ID that means nothing else: 0 is none, ffffffff is "no parent", fffffffe is "see the long ID".
    static func contentID(_ content: ContentIdentity) -> UInt64 {
        var index: UInt64 = 0
        while true {
            let candidate = content.word(index, for: "vmdk.CID") & 0xFFFF_FFFF
            if isUsable(contentID: candidate) { return candidate }
            index += 1
        }
    }

    static func isUsable(contentID: UInt64) -> Bool { (1...0xFFFF_FFFD).contains(contentID) }

    /// The low 32 bits, as 8 digits.
    private func word32(_ value: UInt64) -> String { String(hex(UInt32(truncatingIfNeeded: value)).dropFirst(2)) }
}

/// `createType` of what is written: the first is the default.
enum VMDKSubformat: String, CaseIterable, Hashable, Sendable {
    case monolithicSparse, streamOptimized, monolithicFlat, twoGbMaxExtentSparse, twoGbMaxExtentFlat

    /// Whether the extents are files of their own, beside a descriptor.
    var isSeveralFiles: Bool {
        switch self {
        case .monolithicSparse, .streamOptimized: false
        case .monolithicFlat, .twoGbMaxExtentSparse, .twoGbMaxExtentFlat: true
        }
    }
}

/// `ddb.adapterType`: the controller that the guest sees, and with it the geometry.
enum VMDKAdapter: String, CaseIterable, Hashable, Sendable {
    case ide, lsilogic, buslogic, legacyESX

    /// Cylinders, heads and sectors a track for a disk of some sectors: whole cylinders, at least one.
    func geometry(sectors: UInt64) -> (cylinders: UInt64, heads: UInt64, sectors: UInt64) {
        let heads: UInt64 = self == .ide ? 16 : 255
        // ATA counts no more than 16383 cylinders, a BIOS's or VMware's 16 bits no more than 65535.
        let most: UInt64 = self == .ide ? 16383 : 65535
        return (min(most, max(1, sectors / (heads * 63))), heads, 63)
    }
}
