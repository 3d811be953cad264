import Foundation
import LatheTestSupport
import Testing

/// `-O raw -o package=tar.gz`: what other programs unpack, and what Lathe reads of it.
@Suite struct PackageTests {
    private let directory: TemporaryDirectory
    private let source: String
    private let package: String

    init() throws {
        directory = try TemporaryDirectory()
        source = directory.file("source.raw")
        package = directory.file("disk.raw.tar.gz")
    }

    private func pack(_ arguments: [String] = [], member: String = "the disk.raw") throws {
        let outcome = try lathe(
            ["convert", "-q", "--verify", "-f", "raw", "-O", "raw", "-o", "package=tar.gz", "-o", "member=\(member)"]
                + arguments + [source, package])
        #expect(outcome.status == 0, "\(outcome.testDescription)")
    }

    private func write(_ content: [UInt8]) throws { try Data(content).write(to: URL(filePath: source)) }

    static let shapes: [DiskShape] =
        DiskShape.small + [
            DiskShape("all random, odd", content: Content.full(length: 3 << 20 | 77, seed: 81)),
            DiskShape("a byte less than a unit", content: Content.mixed(length: 1 << 20 - 1, seed: 82)),
            DiskShape("a byte more than two units", content: Content.mixed(length: 2 << 20 + 1, seed: 83)),
        ]

    /// On both sides of what eleven octal digits hold.
    static let largeShapes = [(8 << 30) - 1, 8 << 30, (8 << 30) + 513].map { DiskShape.sparse("\($0) bytes", $0) }

    // MARK: Other programs

    @Test(.requiresTar, arguments: shapes) func everyProgramUnpacksTheDiskToTheByte(shape: DiskShape) throws {
        try shape.write(to: source)
        try pack()
        // GNU tar is asked to say whatever it does not like.
        let outcome = try shell(
            """
            set -e -o pipefail
            mkdir "$4/gnu" "$4/bsd"
            gzip -t "$3"
            said=$(tar --warning=all -C "$4/gnu" -xzf "$3" 2>&1)
            [[ -z $said ]]
            cmp "$4/gnu/the disk.raw" "$2"
            bsdtar -C "$4/bsd" -xzf "$3"
            cmp "$4/bsd/the disk.raw" "$2"
            """, source, package, directory.path, environment: ["LC_ALL": "C"])
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        let script = """
            import gzip, sys, tarfile
            with gzip.open(sys.argv[2]) as whole:
                data = whole.read()
            assert len(data) % 10240 == 0 and data.endswith(bytes(1024)), len(data)
            with tarfile.open(sys.argv[2], "r:gz", errorlevel=2) as archive:
                [member] = archive.getmembers()
                assert member.isreg() and member.mode == 0o644 and (member.uid, member.gid) == (0, 0)
                assert member.mtime == 946684800 and (member.uname, member.gname) == ("", "")
                with open(sys.argv[1], "rb") as source:
                    assert archive.extractfile(member).read() == source.read()
            """
        try Tool.run("python3", ["-c", script, source, package])
    }

    /// To unpack so much takes minutes: the programs are asked for the header, and Lathe reads the rest.
    @Test(.requiresTar, arguments: largeShapes) func everyProgramSeesTheSizeOfALargeDisk(shape: DiskShape) throws {
        try shape.write(to: source)
        try pack()
        let outcome = try shell(
            """
            start() { head -c 3000 "$3" | gzip -dcq 2> "$4/errors" || true; }
            start "$@" | tar --utc --full-time -tvf - 2> "$4/errors"
            start "$@" | bsdtar -tvf - 2> "$4/errors"
            python3 -c 'import gzip, sys, tarfile
            print(tarfile.open(fileobj=gzip.open(sys.argv[1]), mode="r|").next().size)' "$3"
            "$1" compare -q -f raw "$2" "$3" && "$1" check "$3"
            """, source, package, directory.path, environment: ["LC_ALL": "C", "TZ": "UTC"])
        let lines = outcome.lines
        #expect(lines.count > 3 && outcome.status == 0, "\(outcome.testDescription)")
        let words = lines.prefix(3).map { $0.split(separator: " ").map(String.init) }
        let size = "\(shape.length)"
        #expect(words.first == ["-rw-r--r--", "0/0", size, "2000-01-01", "00:00:00", "the", "disk.raw"])
        #expect(words.dropFirst().first == ["-rw-r--r--", "0", "0", "0", size, "Jan", "1", "2000", "the", "disk.raw"])
        #expect(words.last == [size])
    }

    @Test(.requiresTar, arguments: 1...12) func everyLevelIsUnpacked(level: Int) throws {
        try write(Content.mixed(length: 2_500_033, seed: 84))
        try pack(["-o", "compression_level=\(level)"])
        try Tool.run("tar", ["-C", directory.path, "-xzf", package])
        try Tool.run("cmp", [source, directory.file("the disk.raw")])
    }

    // MARK: Lathe itself

    @Test func aPackageIsReadLikeTheDisk() throws {
        try write(Content.mixed(length: 5_000_705, seed: 85))
        try pack()
        let back = directory.file("back.raw")
        // Without -f: the content and the name say it.
        let outcome = try shell(
            """
            set -e -o pipefail
            "$1" convert -q -O raw "$3" "$4"
            cmp "$2" "$4"
            "$1" compare -q -f raw "$2" "$3"
            "$1" convert -q -O raw -o package=tar.gz,member='the disk.raw' "$3" "$4.tar.gz"
            cmp "$3" "$4.tar.gz"
            "$1" convert -q -f raw -O raw.tar.gz -o member='the disk.raw' "$2" - | cmp "$3" -
            "$1" check "$3"
            """, source, package, back)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        let ours = try lathe("digest", "--algorithm", "sha256", "--output", "json", package).json()
        let theirs = try lathe("digest", "--algorithm", "sha256", "-f", "raw", "--output", "json", source).json()
        #expect(ours["digest"] == theirs["digest"] && ours["format"]?.text == "raw.tar.gz")
        let data = try lathe("info", "--output", "json", package).json()["format-specific"]?["data"]
        #expect(data?["member"]?.text == "the disk.raw" && data?["timestamp"]?.text == "946684800")
    }

    @Test func theManifestSaysHowItWasMadeAndMakesItAnew() throws {
        try write(Content.full(length: 10_000_001, seed: 86) + [UInt8](repeating: 0, count: 3 << 20))
        let json = directory.file("disk.json")
        try pack(["--manifest", json, "-o", "compression_level=3"], member: "m.raw")
        let manifest = try JSONDecoder().decode(JSONValue.self, from: Data(contentsOf: URL(filePath: json)))
        #expect(manifest["format"]?.text == "raw.tar.gz")
        let options = ["package": "tar.gz", "member": "m.raw", "compression_level": "3", "timestamp": "946684800"]
        #expect(manifest["options"]?.keys == Set(options.keys))
        for (key, value) in options { #expect(manifest["options"]?[key]?.text == value) }
        let compressor = manifest["encoder"]?["gzip"]?.text ?? ""
        #expect(compressor.hasPrefix("libdeflate ") && compressor.hasSuffix(" level 3"))
        let outcome = try shell(
            """
            set -e -o pipefail
            "$1" verify --manifest "$4" "$3"
            cp "$3" "$3.whole"
            printf damage | dd of="$3" bs=1 seek=9000000 conv=notrunc status=none
            ! "$1" verify --manifest "$4" "$3"
            "$1" verify --manifest "$4" --repair-from "$2" "$3"
            cmp "$3" "$3.whole"
            """, source, package, json)
        #expect(outcome.status == 0, "\(outcome.testDescription)")
    }

    @Test func theTimeIsThatOfTheEnvironment() throws {
        try write([1, 2, 3])
        let outcome = try lathe(
            ["convert", "-q", "-f", "raw", "-O", "raw.tar.gz", source, package],
            environment: ["SOURCE_DATE_EPOCH": "1234567890"])
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        let listed = try Tool.run("tar", ["--utc", "--full-time", "-tvzf", package]).text
        #expect(listed.contains("2009-02-13 23:31:30 disk.raw"), "\(listed)")
    }

    @Test func whatOthersPackedIsToBeUnpackedFirst() throws {
        try write(Content.mixed(length: 100_000, seed: 87))
        try Tool.run("tar", ["-C", directory.path, "-czf", package, "source.raw"])
        let zipped = directory.file("disk.gz")
        #expect(try shell("gzip -c \"$2\" > \"$3\"", source, zipped).status == 0)
        for image in [package, zipped] {
            for arguments in [[], ["-f", "raw.tar.gz"]] {
                let outcome = try lathe(
                    ["convert", "-O", "qcow2"] + arguments + [image, directory.file("new.qcow2")])
                #expect(outcome.status == 1 && outcome.errors.contains("unpack it first"), "\(outcome.testDescription)")
            }
            // Whoever says raw gets every byte as it is.
            #expect(try lathe("digest", "-f", "raw", image).status == 0)
        }
    }
}
