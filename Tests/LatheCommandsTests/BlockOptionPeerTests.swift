import Foundation
import LatheTestSupport
import Testing

/// `block_size` and `align` of vhd and `static` of vdi, beside qemu-img.
@Suite(.requiresQEMU) struct BlockOptionPeerTests {
    private let directory: TemporaryDirectory
    private let source: String
    private let length = 5_000_192

    init() throws {
        directory = try TemporaryDirectory()
        source = directory.file("source.raw")
        try Data(Content.mixed(length: length, seed: 41)).write(to: URL(filePath: source))
    }

    @Test(arguments: ["512k", "1M", "4M", "8M"]) func qemuReadsBlocksOfEverySize(size: String) throws {
        let image = directory.file("image.vhd")
        let made = try lathe(
            "convert", "-q", "--verify", "-f", "raw", "-O", "vhd", "-o", "block_size=\(size)", source, image)
        #expect(made.status == 0, "\(made.testDescription)")
        try QEMU.make(["compare", "-q", "-f", "raw", "-F", "vpc", source, image])
    }

    @Test(arguments: ["dynamic", "fixed"]) func anAlignedDiskIsWholeMebibytesAndProvesIt(subformat: String) throws {
        let image = directory.file("image.vhd")
        let outcome = try shell(
            """
            set -e -o pipefail
            "$1" convert --verify --manifest "$3.json" -f raw -O vhd -o subformat=\(subformat),align=1M "$2" "$3"
            "$1" verify --manifest "$3.json" --source "$2" "$3" >&2
            qemu-img compare -f raw -F vpc "$2" "$3" >&2
            "$1" measure -f raw -O vhd -o subformat=\(subformat),align=1M "$2" | grep "^required size: $(stat -c %s "$3")$" >&2
            "$1" convert -q -f raw -O vhd -o subformat=\(subformat),align=1M "$2" - | cmp - "$3"
            cp "$3" "$4"
            printf damage | dd of="$4" bs=1 seek=70000 conv=notrunc status=none
            "$1" verify --manifest "$3.json" --repair-from "$2" "$4" >&2
            cmp "$3" "$4"
            """, source, image, directory.file("damaged.vhd"))
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        #expect(outcome.text.contains("rounded up from 5000192 to 5242880 bytes"), "\(outcome.testDescription)")
        let info = try RunningProcess("qemu-img", ["info", "-f", "vpc", "--output", "json", image]).outcome().json()
        #expect(info["virtual-size"]?.number == 5 << 20)
        // The fingerprint is that of the disk that the image has, zeros at its end included.
        let digest = try lathe("digest", image).lines.first?.prefix { $0 != " " } ?? ""
        #expect(outcome.text.contains("fingerprint \(digest)"))
        let report = try lathe(
            "convert", "--output", "json", "--overwrite", "-f", "raw", "-O", "vhd", "-o", "align=1M", source, image)
        #expect(try report.json()["source-virtual-size"]?.number == UInt64(length))
    }

    @Test(arguments: ["monolithicSparse", "streamOptimized"]) func aVMDKIsRoundedUpToWholeGrains(subformat: String)
        throws
    {
        let image = directory.file("image.vmdk")
        let outcome = try shell(
            """
            set -e -o pipefail
            "$1" convert --verify --manifest "$3.json" -f raw -O vmdk -o subformat=\(subformat),align=64k "$2" "$3"
            "$1" verify --manifest "$3.json" --source "$2" "$3" >&2
            "$1" check "$3" >&2
            qemu-img compare -f raw -F vmdk "$2" "$3" >&2
            "$1" measure -f raw -O vmdk -o subformat=\(subformat),align=64k "$2" | grep "^required size: $(stat -c %s "$3")$" >&2
            "$1" convert -q -f raw -O vmdk -o subformat=\(subformat),align=64k "$2" - | cmp - "$3"
            """, source, image)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        #expect(!outcome.errors.contains("REMARK"))
        let info = try RunningProcess("qemu-img", ["info", "-f", "vmdk", "--output", "json", image]).outcome().json()
        #expect(info["virtual-size"]?.number == UInt64((length + 65_535) / 65_536 * 65_536))
        let plain = try lathe(
            "convert", "-q", "--overwrite", "-f", "raw", "-O", "vmdk", "-o", "subformat=\(subformat)", source, image)
        let check = try lathe("check", image)
        #expect(plain.status == 0 && check.status == 0)
        #expect(check.text.contains("REMARK") == (subformat == "streamOptimized"), "\(check.testDescription)")
    }

    @Test func aStaticVDIIsWholeForQEMUAndTakesNoRoomForItsZeros() throws {
        let image = directory.file("image.vdi")
        let sparse = directory.file("sparse.raw")
        let outcome = try shell(
            """
            set -e -o pipefail
            cp "$2" "$4" && truncate -s 64M "$4"
            "$1" convert -q --verify -f raw -O vdi -o static=on "$4" "$3"
            "$1" convert -q -f raw -O vdi -o subformat=static "$4" - | cmp - "$3"
            qemu-img check -q "$3"
            qemu-img compare -q -f raw -F vdi "$4" "$3"
            "$1" info "$3"
            [ "$(du -k "$3" | cut -f1)" -lt 16000 ]
            [ "$(stat -c %s "$3")" = $((66 << 20)) ]
            """, source, image, sparse)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        #expect(outcome.text.contains("static"))
    }

    @Test func qemusOwnStaticVDIIsRead() throws {
        let image = directory.file("theirs.vdi")
        try QEMU.make(["convert", "-f", "raw", "-O", "vdi", "-o", "static=on", source, image])
        let outcome = try lathe("compare", "-f", "raw", "-F", "vdi", source, image)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        #expect(try lathe("check", image).status == 0)
    }
}
