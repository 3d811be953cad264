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

    @Test func aFileOnStandardInputIsReadFromWhereItStands() throws {
        let skipped = 1_000_192
        let rest = directory.file("rest.raw")
        try Data(contentsOf: URL(filePath: source)).dropFirst(skipped).write(to: URL(filePath: rest))
        let made = try shell(
            """
            set -e -o pipefail
            { head -c \(skipped) > /dev/null; "$1" convert -q -f raw -O raw - "$4"; } < <(cat "$2")
            cmp "$3" "$4"
            rm "$4"
            for format in raw qcow2 vmdk; do
              "$1" convert -q -f raw -O $format "$3" "$5"
              (dd bs=\(skipped) count=1 of=/dev/null status=none; "$1" convert -q -f raw -O $format - "$4") < "$2"
              cmp "$5" "$4"
              rm "$5" "$4"
            done
            "$1" convert -q -f raw -O qcow2 "$3" "$5"
            (head -c 77777 /dev/urandom; cat "$5") > "$4"
            (dd bs=77777 count=1 of=/dev/null status=none; "$1" compare -q -f qcow2 -F raw - "$3") < "$4"
            """, source, rest, directory.file("made"), directory.file("other"))
        #expect(made.status == 0, "\(made.testDescription)")
    }

    @Test func streamsThatDoNotWaitAreWaitedFor() throws {
        let made = try RunningProcess(
            "python3",
            [
                "-c",
                """
                import os, subprocess, sys, time
                lathe, source = sys.argv[1:]
                def run(arguments, given=None):
                    taken, out = os.pipe()
                    os.set_blocking(out, False)
                    process = subprocess.Popen([lathe] + arguments, stdin=given, stdout=out)
                    os.close(out)
                    found = b''
                    while True:
                        piece = os.read(taken, 1 << 20)
                        if not piece: break
                        found += piece
                    assert process.wait() == 0, process.returncode
                    os.close(taken)
                    return found
                content = open(source, 'rb').read()
                assert run(['convert', '-q', '-f', 'raw', '-O', 'raw', source, '-']) == content
                whole = subprocess.check_output([lathe, 'map', '--output', 'json', '-f', 'raw', source])
                assert run(['map', '--output', 'json', '-f', 'raw', source]) == whole
                for output in ['raw', 'qcow2']:
                    end, into = os.pipe()
                    os.set_blocking(end, False)
                    writer = subprocess.Popen(['sh', '-c', 'sleep 0.2; cat "$1"', 'sh', source], stdout=into)
                    os.close(into)
                    made = run(['convert', '-q', '-f', 'raw', '-O', output, '-', '-'], end)
                    os.close(end)
                    writer.wait()
                    assert made == run(['convert', '-q', '-f', 'raw', '-O', output, source, '-'])
                """, try LatheBinary.path(), source,
            ]
        ).outcome()
        #expect(made.status == 0, "\(made.testDescription)")
    }

    @Test func standardInputIsReadOnce() throws {
        for verb in [
            "compare - -", "verify - -", "verify --manifest - -", "verify --source - \"$2\" \"$2\"",
        ] {
            let outcome = try shell("\"$1\" \(verb) < \"$2\"", source)
            #expect(outcome.status == 64 && outcome.errors.contains("read once"), "\(outcome.testDescription)")
        }
    }

    @Test func anEmptyPipeIsNoDisk() throws {
        for verb in [
            "convert -f raw -O qcow2 - \"$2\"", "convert -f raw -O raw - \"$2\"", "digest -f raw -", "info -f raw -",
        ] {
            let outcome = try shell("true | \"$1\" \(verb)", directory.file("made"))
            #expect(outcome.status == 1 && outcome.errors.contains("empty disk"), "\(outcome.testDescription)")
        }
        let empty = directory.file("empty")
        try Data().write(to: URL(filePath: empty))
        let made = try shell("\"$1\" convert -q -f raw -O qcow2 - \"$2\" < \"$3\"", directory.file("made"), empty)
        #expect(made.status == 0, "\(made.testDescription)")
        #expect(try directory.contents == ["empty", "made", "source.raw"])
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
