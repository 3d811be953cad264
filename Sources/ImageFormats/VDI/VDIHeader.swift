package import ImageModel

/// The header of a VDI file: pre-header, version 1.1 header and their meaning.
///
/// Source: VirtualBox `VDICore.h` (VDIPREHEADER, VDIHEADER1PLUS); all integers are little-endian.
package struct VDIHeader: Hashable, Sendable {
    /// `VDI_IMAGE_SIGNATURE`, at byte 64.
    static let signature: UInt32 = 0xBEDA_107F
    /// Where the signature stands; 64 bytes of text come first.
    package static let signatureOffset = 64
    /// `VDI_IMAGE_VERSION`: major 1, minor 1.
    static let version: UInt32 = 0x0001_0001
    /// `cbHeader` of VDIHEADER1PLUS, which has the logical geometry.
    static let plusHeaderLength: UInt32 = 400
    /// `cbHeader` of VDIHEADER1.
    static let minimumHeaderLength: UInt32 = 384
    /// What is read of a file: the pre-header and the fixed part of the header.
    static let encodedLength: UInt64 = 512
    /// The text that VirtualBox writes in front.
    static let fileInfo = "<<< Oracle VM VirtualBox Disk Image >>>\n"

    /// `VDIIMAGETYPE`, at byte 76.
    enum ImageType: UInt32, Sendable {
        case normal = 1
        case fixed = 2
        case undo = 3
        case differencing = 4

        var name: String {
            switch self {
            case .normal: "dynamic"
            case .fixed: "static"
            case .undo: "undo"
            case .differencing: "differencing"
            }
        }
    }

    var type: ImageType
    /// `offBlocks`: file offset of the block map.
    var mapOffset: UInt64
    /// `offData`: file offset of block 0 of the data area.
    var dataOffset: UInt64
    /// `cbDisk`: the virtual size in bytes, as the file says it.
    var diskSize: UInt64
    /// `cbBlock`, in bytes.
    var blockSize: UInt64
    /// `cbBlockExtra`: bytes in front of each block that are not guest content.
    var blockExtra: UInt64
    /// `cBlocks`: entries of the block map.
    var blockCount: UInt64
    /// `cBlocksAllocated`.
    var allocatedBlocks: UInt64
    /// `uuidCreate`, as it is stored.
    var creationUUID: [UInt8]
    /// `uuidModify`, as it is stored.
    var modificationUUID: [UInt8]
    /// `uuidLinkage`, as it is stored: zero where there is no parent, else that parent's `uuidCreate`.
    var linkageUUID: [UInt8]
    /// `uuidParentModify`, as it is stored: what the parent's `uuidModify` was.
    var parentModificationUUID = [UInt8](repeating: 0, count: 16)

    /// The virtual size in whole sectors, rounded up as QEMU does.
    var virtualSize: UInt64 { diskSize.roundedUp(toMultipleOf: sectorSize) ?? diskSize.roundedDown(toMultipleOf: 512) }

    /// Where the block map is.
    ///
    /// The data area may begin inside it: QEMU writes and opens such headers (its iotest 084). What can't be is a block that lies there.
    var mapRange: FileRange { FileRange(mapOffset, length: blockCount * VDITables.entryLength) }

    /// Whether a place in the file is the map's, too.
    func isOnMap(_ range: FileRange) -> Bool { range.start < mapRange.end && mapRange.start < range.end }

    /// File offset of the guest bytes of the data area's block `index`.
    func dataOffset(ofBlock index: UInt32) -> UInt64 {
        dataOffset + UInt64(index) * (blockSize + blockExtra) + blockExtra
    }
}

// MARK: - From bytes

extension VDIHeader {
    /// Reads the fields; see `validate` for what they must hold.
    ///
    /// - Throws: `truncated`, or `corrupt` or `unsupported` where signature, version or type are not ours.
    package init(source: any ImageSource) throws(ImageError) {
        let bytes = try source.read(FileRange(0, length: Self.encodedLength))
        func damage(_ code: ImageError.Code, _ message: String, _ offset: UInt64) -> ImageError {
            ImageError(code, message, path: source.name, offset: FileOffset(offset))
        }
        let signature: UInt32 = bytes.littleEndian(at: Self.signatureOffset)
        guard signature == Self.signature else {
            throw damage(.corrupt, "VDI signature is \(hex(signature)), expected \(hex(Self.signature))", 64)
        }
        let version: UInt32 = bytes.littleEndian(at: 68)
        guard version == Self.version else {
            throw damage(.unsupported, "VDI version is \(hex(version)); Lathe reads \(hex(Self.version))", 68)
        }
        let headerLength: UInt32 = bytes.littleEndian(at: 72)
        guard headerLength >= Self.minimumHeaderLength else {
            throw damage(
                .corrupt, "VDI header length is \(headerLength), expected \(Self.minimumHeaderLength) or more", 72)
        }
        let rawType: UInt32 = bytes.littleEndian(at: 76)
        guard let type = ImageType(rawValue: rawType) else {
            throw damage(.corrupt, "VDI image type is \(rawType), expected 1 (dynamic) to 4 (differencing)", 76)
        }
        self.type = type
        mapOffset = UInt64(bytes.littleEndian(UInt32.self, at: 340))
        dataOffset = UInt64(bytes.littleEndian(UInt32.self, at: 344))
        diskSize = bytes.littleEndian(at: 368)
        blockSize = UInt64(bytes.littleEndian(UInt32.self, at: 376))
        blockExtra = UInt64(bytes.littleEndian(UInt32.self, at: 380))
        blockCount = UInt64(bytes.littleEndian(UInt32.self, at: 384))
        allocatedBlocks = UInt64(bytes.littleEndian(UInt32.self, at: 388))
        creationUUID = Array(bytes[392..<408])
        modificationUUID = Array(bytes[408..<424])
        linkageUUID = Array(bytes[424..<440])
        parentModificationUUID = Array(bytes[440..<456])
    }

    /// What must hold before any block is looked up.
    ///
    /// - Throws: `unsupported` for an undo image; `corrupt` or `limit-exceeded`.
    func validate(path: String) throws(ImageError) {
        func refusal(_ code: ImageError.Code, _ message: String, _ offset: UInt64) -> ImageError {
            ImageError(code, message, path: path, offset: FileOffset(offset))
        }
        guard type != .undo else {
            throw refusal(
                .unsupported,
                "this VDI is an undo image, of which no program is known that writes it; Lathe reads dynamic, static and "
                    + "differencing ones", 76)
        }
        guard (type == .differencing) == !linkageUUID.isZero else {
            throw refusal(
                .corrupt,
                "this VDI is a \(type.name) image with the parent \(uuidText(littleEndianFields: linkageUUID)); a differencing "
                    + "image has one, and no other has", 424)
        }
        guard blockSize.nonzeroBitCount == 1, ImageLimits.VDI.blockSize.contains(blockSize) else {
            throw refusal(
                .corrupt, "VDI block size is \(blockSize), expected a power of two from 128 KiB to 128 MiB", 376)
        }
        guard blockCount == diskSize.dividedRoundingUp(by: blockSize) else {
            throw refusal(
                .corrupt,
                "VDI has \(blockCount) blocks, but \(diskSize) bytes in blocks of \(blockSize) need "
                    + "\(diskSize.dividedRoundingUp(by: blockSize))", 384)
        }
        guard blockCount <= ImageLimits.VDI.blockCount else {
            throw refusal(
                .limitExceeded, "VDI has \(blockCount) blocks; at most \(ImageLimits.VDI.blockCount) can be", 384)
        }
        guard mapOffset >= Self.encodedLength - 56, mapOffset % 4 == 0 else {
            throw refusal(.corrupt, "VDI block map at \(mapOffset) lies in the header", 340)
        }
        guard blockExtra <= blockSize else {
            throw refusal(
                .corrupt, "VDI has \(blockExtra) extra bytes a block, more than the block's \(blockSize)", 380)
        }
    }
}

// MARK: - To bytes

extension VDIHeader {
    /// The first 512 bytes of the file.
    func encoded() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(Self.encodedLength))
        bytes.store(Self.fileInfo.utf8, at: 0)
        bytes.storeLittleEndian(Self.signature, at: Self.signatureOffset)
        bytes.storeLittleEndian(Self.version, at: 68)
        bytes.storeLittleEndian(Self.plusHeaderLength, at: 72)
        bytes.storeLittleEndian(type.rawValue, at: 76)
        bytes.storeLittleEndian(UInt32(truncatingIfNeeded: mapOffset), at: 340)
        bytes.storeLittleEndian(UInt32(truncatingIfNeeded: dataOffset), at: 344)
        bytes.storeLittleEndian(UInt32(sectorSize), at: 360)
        bytes.storeLittleEndian(diskSize, at: 368)
        bytes.storeLittleEndian(UInt32(truncatingIfNeeded: blockSize), at: 376)
        bytes.storeLittleEndian(UInt32(truncatingIfNeeded: blockExtra), at: 380)
        bytes.storeLittleEndian(UInt32(truncatingIfNeeded: blockCount), at: 384)
        bytes.storeLittleEndian(UInt32(truncatingIfNeeded: allocatedBlocks), at: 388)
        bytes.store(creationUUID, at: 392)
        bytes.store(modificationUUID, at: 408)
        bytes.store(linkageUUID, at: 424)
        bytes.store(parentModificationUUID, at: 440)
        // LCHSGeometry: no geometry is claimed, only the sector size that VirtualBox demands of the field.
        bytes.storeLittleEndian(UInt32(sectorSize), at: 468)
        return bytes
    }
}
