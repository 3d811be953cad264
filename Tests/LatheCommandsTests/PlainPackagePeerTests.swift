import Foundation
import LatheTestSupport
import Testing

/// `-O raw.gz` and `-O raw.zst`: what other programs unpack, and what Lathe reads of it.
@Suite struct PlainPackagePeerTests {
    /// The endings of packages, and what unpacks them to standard output.
    static let programs = [
        "gz": [
            "gzip -dc", "bsdcat",
            "python3 -c 'import gzip, shutil, sys; shutil.copyfileobj(gzip.open(sys.argv[1]), sys.stdout.buffer)'",
        ],
        "zst": ["zstd -dcq", "bsdcat"],
    ]

    private let directory: TemporaryDirectory
    private let source: String

    init() throws {
        directory = try TemporaryDirectory()
        source = directory.file("source.raw")
    }

    static let shapes: [DiskShape] =
        DiskShape.small + [
            DiskShape("all random, odd", content: Content.full(length: 2 << 20 | 77, seed: 81)),
            DiskShape("a byte more than two units", content: Content.mixed(length: 2 << 20 + 1, seed: 83)),
        ]

    @Test(.requiresTar, arguments: ["gz", "zst"]) func everyProgramUnpacksTheDiskToTheByte(package: String) throws {
        for shape in Self.shapes {
            try shape.write(to: source)
            let test = package == "gz" ? "gzip -t" : "zstd -tq"
            let unpacked = (Self.programs[package] ?? []).map { "\($0) \"$3\" | cmp - \"$2\"" }.joined(separator: "\n")
            let outcome = try shell(
                """
                set -e -o pipefail
                rm -f "$3"
                "$1" convert -q --verify -f raw -O raw -o package=\(package) "$2" "$3"
                \(test) "$3"
                \(unpacked)
                "$1" check "$3"
                "$1" convert -q -O raw "$3" - | cmp - "$2"
                "$1" compare -q -f raw "$2" "$3"
                """, source, directory.file("disk.raw.\(package)"))
            #expect(outcome.status == 0, "\(shape): \(outcome.testDescription)")
        }
    }

    @Test(.requiresTar, arguments: [("gz", 1...12), ("zst", 1...19)]) func everyLevelIsUnpackedAndSaysWhoMadeIt(
        package: String, levels: ClosedRange<Int>
    ) throws {
        try Data(Content.mixed(length: 1_500_033, seed: 84)).write(to: URL(filePath: source))
        let program = try #require(Self.programs[package]?.first)
        let outcome = try shell(
            """
            set -e -o pipefail
            for level in {\(levels.lowerBound)..\(levels.upperBound)}; do
                rm -f "$3" "$3.json"
                "$1" convert -q -f raw -O raw.\(package) -o compression_level=$level --manifest "$3.json" "$2" "$3"
                \(program) "$3" | cmp - "$2"
                grep -o "[a-z-]* [0-9.]* level $level" "$3.json"
            done
            """, source, directory.file("disk.raw.\(package)"))
        #expect(outcome.status == 0, "\(outcome.testDescription)")
        let libraries = outcome.lines.map { String($0.prefix { $0 != " " }) }
        let expected =
            package == "zst" ? levels.map { _ in "libzstd" } : levels.map { $0 == 1 ? "isa-l" : "libdeflate" }
        #expect(libraries == expected)
    }

    @Test(arguments: ["gz", "zst"]) func aManifestMakesAPackageAnew(package: String) throws {
        try Data(Content.full(length: 10_000_001, seed: 86)).write(to: URL(filePath: source))
        let outcome = try shell(
            """
            set -e -o pipefail
            "$1" convert -q -f raw -O raw.\(package) --manifest "$3.json" "$2" "$3"
            cp "$3" "$3.whole"
            printf damage | dd of="$3" bs=1 seek=9000000 conv=notrunc status=none
            if "$1" compare -q -f raw "$2" "$3"; then exit 9; fi
            "$1" verify --manifest "$3.json" --repair-from "$2" "$3"
            cmp "$3" "$3.whole"
            "$1" verify --manifest "$3.json" --source "$2" "$3"
            """, source, directory.file("disk.raw.\(package)"))
        #expect(outcome.status == 0, "\(outcome.testDescription)")
    }

    @Test(.requiresTar) func aFileOfZstdItselfIsToBeUnpackedFirst() throws {
        try Data(Content.mixed(length: 100_000, seed: 87)).write(to: URL(filePath: source))
        let foreign = directory.file("foreign.raw.zst")
        try Tool.run("zstd", ["-q", source, "-o", foreign])
        let outcome = try lathe("info", foreign)
        #expect(outcome.status == 1 && outcome.errors.contains("unpack it first ('zstd -d'"), "\(outcome.errors)")
    }

    @Test func anExportIsNamedAfterItsPackage() throws {
        try Data(Content.mixed(length: 1 << 20, seed: 88)).write(to: URL(filePath: source))
        let store = directory.file("store")
        for package in ["gz", "zst"] {
            let made = try lathe(
                "export", "-q", "--endpoint", store, "--bucket", "images", "--package", package, "-f", "raw", source)
            #expect(made.status == 0, "\(made.testDescription)")
            let object = "\(store)/images/source.raw.\(package)"
            #expect(try lathe("compare", "-q", "-f", "raw", source, object).status == 0)
        }
    }
}
