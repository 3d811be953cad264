import ImageModel

/// What is no disk image that Lathe reads, but is told from its first sector: archives, files that are compressed as a whole,
/// images of other programs, and what a download left in place of an image.
///
/// A raw disk begins with a boot sector, a label, a file system or zeros, and none of those begins with any of these marks; who
/// has one that does says `-f raw`. Marks that are short or that a disk might have by chance are looked at with what must stand
/// beside them.
struct ForeignFormat: Hashable, Sendable {
    /// With its article, for messages.
    var what: String
    /// What to do with it.
    var advice: String
    /// Where the mark stands.
    var offset = FileOffset(0)

    /// What the first sector of a file says, or as much of it as there is.
    static func found(in head: [UInt8]) -> ForeignFormat? {
        for (magic, what, advice) in marks where head.starts(with: magic) {
            return ForeignFormat(what: what, advice: advice)
        }
        return compressed(head) ?? archive(head) ?? text(head)
    }

    /// Of an image that another program reads.
    static let conversion = "a format that Lathe does not read; convert it with another program first"
    private static let forensic =
        "a format that Lathe does not read; 'ewfexport -f raw' or 'affconvert -r' makes a raw disk of it"

    private static func packed(_ command: String) -> String {
        "so it is compressed as a whole; unpack it first (\(command))"
    }

    private static func archived(_ command: String) -> String {
        "so the image is a file in an archive; unpack it first (\(command))"
    }

    /// Marks at byte 0 that are long enough to speak for themselves.
    private static let marks: [(magic: [UInt8], what: String, advice: String)] = [
        (Array("vhdxfile".utf8), "a vhdx header", conversion),
        (Array("QED\0".utf8), "a QED header", conversion),
        (Array("WithoutFreeSpace".utf8), "a Parallels header", conversion),
        (Array("WithouFreSpacExt".utf8), "a Parallels header", conversion),
        (Array("Bochs Virtual HD Image".utf8), "a Bochs header", conversion),
        (Array("#!/bin/sh\n#V2.0 Format\nmodprobe cloop".utf8), "a cloop header", conversion),
        // The magic and version 1, big-endian: Proxmox, `vma_spec.txt`.
        (
            Array("VMA\0".utf8) + [0, 0, 0, 1], "a VMA header",
            "so it is a backup of Proxmox; unpack it first ('vma extract FILE DIRECTORY')"
        ),
        // libewf, "Expert Witness Compression Format": the file headers of both versions, of disks and of files.
        (Array("EVF".utf8) + [0x09, 0x0D, 0x0A, 0xFF, 0x00], "an EWF (E01) header", forensic),
        (Array("EVF2".utf8) + [0x0D, 0x0A, 0x81, 0x00], "an EWF (Ex01) header", forensic),
        (Array("LVF".utf8) + [0x09, 0x0D, 0x0A, 0xFF, 0x00], "an EWF (L01) header", forensic),
        (Array("LEF2".utf8) + [0x0D, 0x0A, 0x81, 0x00], "an EWF (Lx01) header", forensic),
        (Array("AFF10\r\n\0".utf8), "an AFF header", forensic),
        (
            Array("partclone-image".utf8), "a partclone header",
            "so it has the used blocks of a file system and no disk; 'partclone.restore' makes a file system of it"
        ),
        // The magic and version 3, big-endian: QEMU, `migration/savevm.c`.
        (
            Array("QEVM".utf8) + [0, 0, 0, 3], "the head of a saved state of QEMU",
            "so it has the memory of a machine and no disk; name the image of the machine's disk"
        ),
        (
            Array("LibvirtQemudSave".utf8), "the head of a saved state of libvirt",
            "so it has the memory of a machine and no disk; name the image of the machine's disk"
        ),
        // The magic, and version 1.0, little-endian: AOSP, `libsparse/sparse_format.h`.
        (
            [0x3A, 0xFF, 0x26, 0xED, 1, 0, 0, 0], "the header of a sparse image of Android",
            "a format that Lathe does not read; 'simg2img' makes a raw disk of it"
        ),
        (Array("MSWIM\0\0\0".utf8), "a WIM header", archived("'wimapply'")),
        ([0xFD] + Array("7zXZ\0".utf8), "an xz header", packed("'xz -d', or 'tar -xJf' where it holds an archive")),
        ([0x89] + Array("LZO\0\r\n\u{1A}\n".utf8), "an lzop header", packed("'lzop -d'")),
        (Array("LZIP".utf8) + [1], "an lzip header", packed("'lzip -d'")),
        ([0x04, 0x22, 0x4D, 0x18], "an lz4 header", packed("'lz4 -d'")),
        ([0x02, 0x21, 0x4C, 0x18], "an lz4 header", packed("'lz4 -d'")),
        (Array("PK\u{3}\u{4}".utf8), "a zip header", archived("'unzip'")),
        (Array("PK\u{5}\u{6}".utf8), "the end of an empty zip", archived("'unzip'")),
        ([0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C], "a 7z header", archived("'7z x'")),
        (Array("Rar!\u{1A}\u{7}".utf8), "a rar header", archived("'unrar x'")),
    ]

    // MARK: - Compressed

    private static func compressed(_ head: [UInt8]) -> ForeignFormat? {
        // Deflate (8) is the only method that there is.
        if head.starts(with: GzipMember.magic + [8]) {
            return ForeignFormat(what: "a gzip header", advice: packed(FormatDetection.unpacking("gzip")))
        }
        if head.starts(with: ZstandardFrame.magic) {
            return ForeignFormat(what: "a zstd header", advice: packed(FormatDetection.unpacking("zstd")))
        }
        if isBzip2(head) {
            return ForeignFormat(
                what: "a bzip2 header", advice: packed("'bzip2 -d', or 'tar -xjf' where it holds an archive"))
        }
        guard isLZMA(head) else { return nil }
        return ForeignFormat(what: "an lzma header", advice: packed("'xz -d --format=lzma'"))
    }

    /// `BZh`, the size of a block in 100 kB, and then the mark of a block or of the end: pi or its root in decimal digits.
    private static func isBzip2(_ head: [UInt8]) -> Bool {
        guard head.count >= 10, head.starts(with: Array("BZh".utf8)), (0x31...0x39).contains(head[3]) else {
            return false
        }
        let mark = Array(head[4..<10])
        return mark == [0x31, 0x41, 0x59, 0x26, 0x53, 0x59] || mark == [0x17, 0x72, 0x45, 0x38, 0x50, 0x90]
    }

    /// A file of LZMA alone has no magic.
    ///
    /// As `xz` does, only usual properties are believed: `lc=3, lp=0, pb=2`, a dictionary of
    /// 2^n or 2^n + 2^(n-1) bytes, a length that is not known or below 256 GiB; and the first byte of the range coder is 0.
    ///
    /// Source: XZ Utils, `doc/lzma-file-format.txt`.
    private static func isLZMA(_ head: [UInt8]) -> Bool {
        guard head.count >= 14, head[0] == 0x5D, head[13] == 0 else { return false }
        let dictionary: UInt32 = head.littleEndian(at: 1)
        let length: UInt64 = head.littleEndian(at: 5)
        let isUsual =
            dictionary.nonzeroBitCount == 1
            || dictionary.nonzeroBitCount == 2 && dictionary & dictionary << 1 != 0
        return isUsual && dictionary >= 1 << 12 && (length == .max || length > 0 && length < 256 << 30)
    }

    // MARK: - Archives

    private static func archive(_ head: [UInt8]) -> ForeignFormat? {
        guard let first = TarHeader.firstName(in: head) else { return nil }
        let isAppliance = String(decoding: first, as: UTF8.self).lowercased().hasSuffix(".ovf")
        return ForeignFormat(
            what: isAppliance ? "a tar header, of a virtual appliance (OVA)," : "a tar header",
            advice: archived(isAppliance ? "'tar -xf', and take the .vmdk that comes out" : "'tar -xf'"),
            offset: FileOffset(UInt64(TarHeader.magicOffset)))
    }

    // MARK: - Text

    /// What a server answers in place of a file, and what stands for one in a repository.
    private static func text(_ head: [UInt8]) -> ForeignFormat? {
        if head.starts(with: Array("version https://git-lfs.github.com/spec/".utf8)) {
            return ForeignFormat(
                what: "a pointer of Git LFS", advice: "which stands for the file; get the file itself by 'git lfs pull'"
            )
        }
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let blank: Set<UInt8> = [0x20, 0x09, 0x0A, 0x0D]
        let begin = (head.starts(with: mark) ? head.dropFirst(3) : head[...]).drop { blank.contains($0) }.prefix(15)
        let text = String(decoding: begin, as: UTF8.self).lowercased()
        let advice = "so it may be what a server said in place of the image; look at it, and get the image again"
        if ["<!doctype html", "<html", "<head"].contains(where: text.hasPrefix) {
            return ForeignFormat(what: "an HTML page", advice: advice)
        }
        guard text.hasPrefix("<?xml") else { return nil }
        return ForeignFormat(what: "an XML document", advice: advice)
    }
}
