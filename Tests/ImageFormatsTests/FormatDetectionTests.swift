import ImageFormats
import ImageModel
import LatheTestSupport
import Testing

@Suite struct FormatDetectionTests {
    /// A file of a MiB that begins with `magic` or has it elsewhere.
    static func file(_ magic: [UInt8] = [], at offset: UInt64 = 0, length: UInt64 = 1 << 20) -> SparseMemory {
        var memory = SparseMemory(name: "the image")
        memory.write(magic, at: offset)
        memory.truncate(to: length)
        return memory
    }

    static let conectix = Array("conectix".utf8)
    static let qcow2: [UInt8] = [0x51, 0x46, 0x49, 0xFB]

    /// Every mark that is known, where it stands, and the format.
    static let marks: [([UInt8], UInt64, ImageFormat)] = [
        (qcow2, 0, .qcow2), (Array("KDMV".utf8), 0, .vmdk), (Array("COWD".utf8), 0, .vmdk),
        ([0xBE, 0xBA, 0xFE, 0xCA, 0, 0, 0, 0], 0, .vmdk), (Array("# Disk DescriptorFile\nversion=1".utf8), 0, .vmdk),
        ([0x7F, 0x10, 0xDA, 0xBE], 64, .vdi), (conectix, 0, .vhd),
    ]

    static func error(_ file: SparseMemory, _ name: String) throws -> ImageError {
        try #require(throws: ImageError.self) { try FormatDetection.detect(file, name: name) }
    }

    @Test(arguments: marks) func aNameThatSaysNothingLeavesItToTheBytes(
        magic: [UInt8], offset: UInt64, format: ImageFormat
    )
        throws
    {
        for name in ["disk", "-", "disk.old", "disk.img", "disk.IMG", "/images.raw/disk", ".vmdk", "disk."] {
            #expect(try FormatDetection.detect(Self.file(magic, at: offset), name: name) == format)
        }
    }

    @Test func aCloudImageIsReadWhateverItsNameEndsWith() throws {
        #expect(try FormatDetection.detect(Self.file(Self.qcow2), name: "noble-server-cloudimg-amd64.img") == .qcow2)
        #expect(try FormatDetection.detect(Self.file(), name: "disk.img") == .raw)
        // What a guest may have written into a disk that says raw is an error as ever.
        #expect(try Self.error(Self.file(Self.qcow2), "disk.raw").code == .ambiguousFormat)
    }

    @Test(arguments: marks) func aNameThatAgreesIsTaken(magic: [UInt8], offset: UInt64, format: ImageFormat) throws {
        let names: [ImageFormat: [String]] = [
            .qcow2: ["disk.qcow2", "a/b.c/DISK.QCOW"], .vmdk: ["disk.vmdk"], .vdi: ["disk.Vdi"],
            .vhd: ["disk.vhd", "disk.VPC"],
        ]
        for name in names[format] ?? [] {
            #expect(try FormatDetection.detect(Self.file(magic, at: offset), name: name) == format)
        }
    }

    @Test(arguments: marks) func aRawNameIsNotOverruledByWhatAGuestMayHaveWritten(
        magic: [UInt8], offset: UInt64, format: ImageFormat
    ) throws {
        for name in ["disk.raw", "disk.dd", "disk.BIN"] {
            let error = try Self.error(Self.file(magic, at: offset), name)
            #expect(error.code == .ambiguousFormat)
            #expect(error.message.hasPrefix("the name says raw, but the file has a \(format.rawValue) "))
        }
    }

    @Test func theMessagesSayWhatWasFoundAndWhatToDo() throws {
        let raw = try Self.error(Self.file(Self.qcow2), "disk.raw")
        #expect(
            raw.description
                == "the image: the name says raw, but the file has a qcow2 header at byte 0, which a guest can write "
                + "into a raw disk too; say which format it is with -f FORMAT (-f raw to take every byte as it is)")
        let other = try Self.error(Self.file(Self.qcow2), "disk.vmdk")
        #expect(
            other.message
                == "the name says vmdk, but the file has a qcow2 header at byte 0; say which format it is with -f "
                + "FORMAT")
        let nothing = try Self.error(Self.file(), "disk.vdi")
        #expect(
            nothing.message
                == "the name says vdi, but nothing in the file looks like it; say which format it is with -f FORMAT "
                + "(-f raw if it is a raw disk)")
        #expect([raw, other, nothing].allSatisfy { $0.code == .ambiguousFormat })
    }

    @Test(arguments: ["disk.qcow2", "disk.vmdk", "disk.vdi", "disk.vhd", "disk.vpc"])
    func aNameThatTheBytesDoNotBearOutIsRefused(name: String) throws {
        #expect(try Self.error(Self.file(), name).code == .ambiguousFormat)
        #expect(try Self.error(Self.file(length: 0), name).code == .ambiguousFormat)
    }

    @Test func bytesOfNoFormatAreRaw() throws {
        for name in ["disk", "disk.raw", "disk.img", "disk.iso", "-", ""] {
            for length: UInt64 in [0, 1, 3, 65, 511, 512, 1 << 20] {
                #expect(try FormatDetection.detect(Self.file(length: length), name: name) == .raw)
            }
        }
        // An encrypted guest disk is a raw disk.
        #expect(try FormatDetection.detect(Self.file(Array("LUKS".utf8) + [0xBA, 0xBE, 0, 1]), name: "disk") == .raw)
    }

    @Test(arguments: [512, 511] as [UInt64]) func aFooterAloneIsBelievedOnlyWithTheName(distance: UInt64) throws {
        let fixed = Self.file(Self.conectix, at: (1 << 20) - distance)
        #expect(try FormatDetection.detect(fixed, name: "disk.vhd") == .vhd)
        #expect(try FormatDetection.detect(fixed, name: "disk.vpc") == .vhd)
        for name in ["disk", "disk.old", "disk.img", "-", "disk.raw", "disk.vmdk"] {
            let error = try Self.error(fixed, name)
            #expect(error.code == .ambiguousFormat)
            #expect(error.message.contains("-f FORMAT"))
        }
        #expect(
            try Self.error(fixed, "disk").message
                == "the file has a vhd footer at byte \((1 << 20) - distance), which is that of a fixed vhd, but a "
                + "guest can write it into a raw disk too; say which format it is with -f FORMAT (-f vhd or -f raw)")
    }

    @Test func twoFormatsAtOnceAreRefusedWhateverTheName() throws {
        var both = Self.file(Self.qcow2)
        both.write([0x7F, 0x10, 0xDA, 0xBE], at: 64)
        var tail = Self.file(Self.qcow2)
        tail.write(Self.conectix, at: (1 << 20) - 512)
        for name in ["disk", "disk.qcow2", "disk.vdi", "disk.vhd", "disk.raw"] {
            #expect(try Self.error(both, name).code == .ambiguousFormat)
            #expect(try Self.error(tail, name).code == .ambiguousFormat)
        }
        #expect(
            try Self.error(tail, "disk").message
                == "the file looks like more than one format at once: it has a qcow2 header at byte 0 and a vhd "
                + "footer at byte 1048064; say which one it is with -f FORMAT")
    }

    @Test(arguments: [
        ("vhdxfile", "vhdx"), ("QED\0", "QED"), ("WithoutFreeSpace", "Parallels"), ("WithouFreSpacExt", "Parallels"),
        ("Bochs Virtual HD Image", "Bochs"), ("#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0", "cloop"),
    ]) func aFormatThatLatheDoesNotReadIsNamed(magic: String, format: String) throws {
        for name in ["disk", "disk.vhdx", "disk.vhd"] {
            let error = try Self.error(Self.file(Array(magic.utf8)), name)
            #expect(error.code == .unsupported)
            #expect(
                error.message
                    == "the file has a \(format) header at byte 0, a format that Lathe does not read; convert it with "
                    + "another program first, or say -f raw if it is a raw disk")
        }
        #expect(try Self.error(Self.file(Array(magic.utf8)), "disk.raw").code == .ambiguousFormat)
    }

    /// What is no image that Lathe reads, what is said of it, and what is to be done.
    static let foreign: [([UInt8], String, String)] = [
        ([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0], "an xz header", "'xz -d'"),
        (Array("BZh91AY&SY".utf8), "a bzip2 header", "'bzip2 -d'"),
        ([0x42, 0x5A, 0x68, 0x31, 0x17, 0x72, 0x45, 0x38, 0x50, 0x90], "a bzip2 header", "'bzip2 -d'"),
        ([0x5D, 0, 0, 0x80, 0] + [UInt8](repeating: 0xFF, count: 8), "an lzma header", "'xz -d --format=lzma'"),
        ([0x5D, 0, 0, 0x80, 0, 0, 0, 0x10, 0, 0, 0, 0, 0], "an lzma header", "'xz -d --format=lzma'"),
        ([0x04, 0x22, 0x4D, 0x18, 0x64], "an lz4 header", "'lz4 -d'"),
        ([0x02, 0x21, 0x4C, 0x18], "an lz4 header", "'lz4 -d'"),
        (Array("LZIP\u{1}".utf8), "an lzip header", "'lzip -d'"),
        ([0x89, 0x4C, 0x5A, 0x4F, 0, 0x0D, 0x0A, 0x1A, 0x0A], "an lzop header", "'lzop -d'"),
        ([0x1F, 0x8B, 8], "a gzip header", "'gzip -d'"),
        ([0x28, 0xB5, 0x2F, 0xFD], "a zstd header", "'zstd -d'"),
        ([0x50, 0x4B, 3, 4, 20, 0], "a zip header", "'unzip'"),
        ([0x50, 0x4B, 5, 6], "the end of an empty zip", "'unzip'"),
        ([0x37, 0x7A, 0xBC, 0xAF, 0x27, 0x1C, 0, 4], "a 7z header", "'7z x'"),
        (Array("Rar!\u{1A}\u{7}\u{1}".utf8), "a rar header", "'unrar x'"),
        (Array("MSWIM\0\0\0".utf8), "a WIM header", "'wimapply'"),
        (Array("VMA\0\0\0\0\u{1}".utf8), "a VMA header", "'vma extract FILE DIRECTORY'"),
        (Array("EVF\t\r\n".utf8) + [0xFF, 0, 1], "an EWF (E01) header", "'ewfexport -f raw'"),
        (Array("EVF2\r\n".utf8) + [0x81, 0], "an EWF (Ex01) header", "'ewfexport -f raw'"),
        (Array("AFF10\r\n\0".utf8), "an AFF header", "'affconvert -r'"),
        (Array("partclone-image\00.3.17".utf8), "a partclone header", "'partclone.restore'"),
        (Array("QEVM\0\0\0\u{3}".utf8), "the head of a saved state of QEMU", "the image of the machine's disk"),
        (Array("LibvirtQemudSave".utf8), "the head of a saved state of libvirt", "the image of the machine's disk"),
        ([0x3A, 0xFF, 0x26, 0xED, 1, 0, 0, 0], "the header of a sparse image of Android", "'simg2img'"),
        (Array("<!DOCTYPE html>\n<html>".utf8), "an HTML page", "get the image again"),
        (Array("\r\n  <HTML><body>".utf8), "an HTML page", "get the image again"),
        (
            [0xEF, 0xBB, 0xBF] + Array("<?xml version=\"1.0\"?><Error/>".utf8), "an XML document",
            "get the image again"
        ),
        (
            Array("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n".utf8), "a pointer of Git LFS",
            "'git lfs pull'"
        ),
    ]

    @Test(arguments: foreign) func whatIsNoDiskIsNamedWithWhatToDo(magic: [UInt8], what: String, advice: String) throws
    {
        for name in ["disk", "disk.qcow2", "disk.iso", "disk.ova", "-"] {
            let error = try Self.error(Self.file(magic), name)
            #expect(error.code == .unsupported)
            #expect(error.message.hasPrefix("the file has \(what) at byte 0, "), "\(error.message)")
            #expect(error.message.contains(advice), "\(error.message)")
            #expect(error.message.hasSuffix(", or say -f raw if it is a raw disk"))
        }
        let named = try Self.error(Self.file(magic), "disk.raw")
        #expect(named.code == .ambiguousFormat)
        #expect(named.message.hasPrefix("the name says raw, but the file has \(what) at byte 0, "))
        #expect(named.message.contains(advice) && named.message.contains("-f raw"))
        // A file that is no longer than that has it as well.
        let short = Self.file(magic, length: UInt64(magic.count) + 1)
        #expect(throws: ImageError.self) { try FormatDetection.detect(short, name: "disk") }
    }

    /// The first block of an archive as GNU tar (`ustar  `) or POSIX has it, with a right checksum.
    static func tar(_ name: String, magic: String = "ustar\u{0}00") -> SparseMemory {
        var block = [UInt8](repeating: 0, count: 512)
        for (start, text) in [
            (0, name), (100, "0000644\u{0}"), (124, "00000001000\u{0}"), (136, "14000000000\u{0}"), (148, "        "),
            (156, "0"), (257, magic),
        ] {
            for (index, byte) in text.utf8.enumerated() { block[start + index] = byte }
        }
        let digits = String(block.reduce(0) { $0 + Int($1) }, radix: 8)
        for (index, byte) in (String(repeating: "0", count: 6 - digits.count) + digits).utf8.enumerated() {
            block[148 + index] = byte
        }
        block[154] = 0
        return file(block)
    }

    @Test(arguments: ["ustar\u{0}00", "ustar  \u{0}"]) func anArchiveAndAnApplianceAreNamed(magic: String) throws {
        let archive = try Self.error(Self.tar("images/disk.raw", magic: magic), "disk.tar")
        #expect(archive.code == .unsupported)
        #expect(
            archive.message
                == "the file has a tar header at byte 257, so the image is a file in an archive; unpack it first ('tar -xf'), "
                + "or say -f raw if it is a raw disk")
        let appliance = try Self.error(Self.tar("Machine.OVF", magic: magic), "machine.ova")
        #expect(appliance.message.contains("appliance (OVA)") && appliance.message.contains("take the .vmdk"))
    }

    @Test func whatADiskMayHaveByChanceIsNoMark() throws {
        // The magic of tar without the checksum, of bzip2 without a block, and lzma's first byte with odd numbers behind it.
        let disks: [SparseMemory] = [
            Self.file(Array("ustar".utf8), at: 257), Self.file(Array("BZh9".utf8)),
            Self.file([0x5D, 0, 0, 0x80, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0]), Self.file([0x5D, 1, 2, 3, 4]),
            Self.file(Array("PK".utf8)), Self.file(Array("VMA\0".utf8)), Self.file(Array("EVF".utf8)),
            // Boot sectors of GRUB and Windows, and the start of a label.
            Self.file([0xEB, 0x63, 0x90]), Self.file([0x33, 0xC0, 0x8E, 0xD0]),
            Self.file([0xEB, 0x52, 0x90] + Array("NTFS".utf8)),
            Self.file(Array("LABELONE".utf8), at: 512), Self.file(Array("CD001".utf8), at: 32769),
            Self.file(Array("hsqs".utf8)),
        ]
        for disk in disks { #expect(try FormatDetection.detect(disk, name: "disk") == .raw) }
    }

    @Test func aDiskImageOfMacOSIsNamed() throws {
        let trailer = Array("koly".utf8) + [0, 0, 0, 4, 0, 0, 2, 0]
        let file = Self.file(trailer, at: (1 << 20) - 512)
        let error = try Self.error(file, "disk")
        #expect(error.code == .unsupported)
        #expect(
            error.message
                == "the file has a dmg trailer at byte \((1 << 20) - 512), a format that Lathe does not read; convert it "
                + "with another program first, or say -f raw if it is a raw disk")
        #expect(try Self.error(file, "disk.dd").code == .ambiguousFormat)
        #expect(try FormatDetection.detect(Self.file(Array("koly".utf8), at: (1 << 20) - 512), name: "disk") == .raw)
    }

    @Test func whatLatheWritesIsDetected() throws {
        let names: [(ImageFormat, String)] = [(.vhd, "disk.vhd"), (.vdi, "disk.vdi"), (.raw, "disk.raw")]
        for (format, name) in names {
            let image = try EncodedImage(format, virtualSize: 4 << 20, units: [0])
            #expect(try FormatDetection.detect(image.memory, name: name) == format)
            #expect(try FormatDetection.detect(image.memory, name: "disk") == format)
        }
        let fixed = try EncodedImage(.vhd, virtualSize: 0, units: [], options: ["subformat": "fixed"])
        #expect(try FormatDetection.detect(fixed.memory, name: "disk.vhd") == .vhd)
    }
}
