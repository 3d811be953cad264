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
        for name in ["disk", "-", "disk.old", "/images.raw/disk", ".vmdk", "disk."] {
            #expect(try FormatDetection.detect(Self.file(magic, at: offset), name: name) == format)
        }
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
        for name in ["disk.raw", "disk.img", "disk.dd", "disk.BIN"] {
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
        for name in ["disk", "disk.old", "-", "disk.raw", "disk.vmdk"] {
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

    @Test func aDiskImageOfMacOSIsNamed() throws {
        let trailer = Array("koly".utf8) + [0, 0, 0, 4, 0, 0, 2, 0]
        let file = Self.file(trailer, at: (1 << 20) - 512)
        let error = try Self.error(file, "disk")
        #expect(error.code == .unsupported)
        #expect(
            error.message
                == "the file has a dmg trailer at byte \((1 << 20) - 512), a format that Lathe does not read; convert it "
                + "with another program first, or say -f raw if it is a raw disk")
        #expect(try Self.error(file, "disk.img").code == .ambiguousFormat)
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
