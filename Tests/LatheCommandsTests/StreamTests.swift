import Foundation
import ImageFormats
import LatheTestSupport
import Testing

/// `-`: standard input and standard output, files and pipes.
@Suite struct StreamTests {
    private let directory: TemporaryDirectory
    private let source: String

    init() throws {
        directory = try TemporaryDirectory()
        source = directory.file("source.raw")
        let content =
            Content.mixed(length: 3_000_320, seed: 51) + [UInt8](repeating: 0, count: 4 << 20)
            + Content.full(length: 100_000, seed: 52)
        try Data(content).write(to: URL(filePath: source))
    }

    @Test(arguments: OutputVariant.all) func aPipeGetsTheBytesOfTheFile(variant: OutputVariant) throws {
        let arguments = variant.arguments.joined(separator: " ")
        let file = directory.file("file")
        let piped = directory.file("piped")
        let redirected = directory.file("redirected")
        let made = try shell(
            """
            set -e -o pipefail
            "$1" convert -q -f raw \(arguments) "$2" "$3"
            "$1" convert -q -f raw \(arguments) "$2" - | cat > "$4"
            "$1" convert -q -f raw \(arguments) "$2" - > "$5"
            cmp "$3" "$4"
            cmp "$3" "$5"
            """, source, file, piped, redirected)
        #expect(made.status == 0, "\(made.testDescription)")
    }

    @Test(arguments: OutputVariant.all) func aPipeIsReadLikeTheFile(variant: OutputVariant) throws {
        let arguments = variant.arguments.joined(separator: " ")
        let made = try shell(
            """
            set -e -o pipefail
            "$1" convert -q -f raw \(arguments) --manifest "$6" "$2" "$3"
            cat "$2" | "$1" convert -q -f raw \(arguments) - "$4"
            cmp "$3" "$4"
            "$1" convert -q -f raw \(arguments) - - < "$2" | cmp "$3" -
            "$1" digest -f raw "$2" | cut -d' ' -f1 > "$5"
            cat "$3" | "$1" digest -f \(variant.format.rawValue) - | cut -d' ' -f1 | cmp "$5" -
            "$1" compare -q -f \(variant.format.rawValue) -F raw - "$2" < "$3"
            "$1" info -f \(variant.format.rawValue) - < "$3" > "$5"
            cat "$3" | "$1" verify -q --manifest "$6" -
            """, source, directory.file("file"), directory.file("piped"), directory.file("digest"),
            directory.file("manifest"))
        #expect(made.status == 0, "\(made.testDescription)")
    }

    /// A temporary file is made only where the format begins with what is known last of a pipe.
    @Test(arguments: OutputVariant.all) func aPipeIsSpooledOnlyWhereTheFormatNeedsIt(variant: OutputVariant) throws {
        let made = try shell(
            """
            cat "$2" | TMPDIR=/nonexistent "$1" convert -q -f raw \(variant.arguments.joined(separator: " ")) - "$3"
            """, source, directory.file("piped"))
        if ["raw", "vhd-fixed", "raw.gz", "raw.zst"].contains(variant.name) {
            #expect(made.status == 0, "\(made.testDescription)")
        } else {
            #expect(made.status == 1 && made.errors.contains("/nonexistent") && made.errors.contains("TMPDIR"))
        }
    }

    @Test func thePipesSizeIsInTheManifestAndTheProgress() throws {
        let made = try shell(
            """
            set -e -o pipefail
            "$1" convert -q -f raw -O raw.zst --manifest "$4" "$2" "$3"
            { cat "$2"; sleep 1; } | "$1" convert -f raw -O raw.zst --manifest "$5" --overwrite --progress json - "$3"
            cmp "$4" "$5"
            """, source, directory.file("image"), directory.file("manifest"), directory.file("piped-manifest"))
        #expect(made.status == 0, "\(made.testDescription)")
        let length = try (Data(contentsOf: URL(filePath: source)).count + 511) / 512 * 512
        #expect(made.errors.contains("\"done\":\(length)") && made.errors.contains("\"total\":\(length)"))
        // While the pipe goes on, nobody knows how long it is.
        #expect(made.errors.split(separator: "\n").contains { !$0.contains("total") }, "\(made.testDescription)")
        #expect(!made.errors.contains("\"total\":0"), "\(made.testDescription)")
    }

    @Test func anEmptyPipeIsAnEmptyDisk() throws {
        let image = directory.file("image.qcow2")
        #expect(try lathe("convert", "-f", "raw", "-O", "qcow2", "-", image).status == 0)
        #expect(try lathe("info", "--output", "json", image).json()["virtual-size"]?.number == 0)
    }

    @Test func theReportOfAStreamGoesToStandardError() throws {
        let outcome = try lathe("convert", "-f", "raw", "-O", "raw", "--output", "json", source, "-")
        #expect(outcome.status == 0)
        #expect(outcome.output == (try Data(contentsOf: URL(filePath: source))))
        let report = try JSONDecoder().decode(JSONValue.self, from: Data(outcome.errors.utf8))
        #expect(report["filename"]?.text == "-")
    }

    @Test(arguments: OutputVariant.all) func aReaderThatGoesAwayEndsTheWorkInSilenceWithTheShellsStatus(
        variant: OutputVariant
    ) throws {
        let scratch = try TemporaryDirectory()
        let outcome = try shell(
            """
            { "$1" convert -f raw \(variant.arguments.joined(separator: " ")) "$2" -; echo "status $?" >&2; } | head -c 1
            ls -A "$TMPDIR"
            """, source, environment: ["TMPDIR": scratch.path])
        #expect(outcome.errors == "status 141\n")
        #expect(outcome.output.count == 1, "\(outcome.testDescription)")
    }

    @Test func aFullDiskBehindStandardOutputIsAnError() throws {
        let full = try FileHandle(forWritingTo: URL(filePath: "/dev/full"))
        let outcome = try lathe("convert", "-q", "-f", "raw", "-O", "qcow2", source, "-", output: full)
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("No space left on device; free some space"))
    }

    @Test func verificationOfAStreamIsRefused() throws {
        let outcome = try lathe("convert", "--verify", "-f", "raw", "-O", "raw", source, "-")
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("--verify"))
        #expect(outcome.output.isEmpty)
    }
}
