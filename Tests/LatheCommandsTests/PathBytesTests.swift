import Foundation
import LatheTestSupport
import Testing

/// Names that are no text: what a shell hands over is what the kernel gets.
@Suite struct PathBytesTests {
    private let directory: TemporaryDirectory
    private let content = Content.mixed(length: 300_032, seed: 1803)

    init() throws {
        directory = try TemporaryDirectory()
        try Data(content).write(to: URL(filePath: directory.file("source.raw")))
    }

    /// Runs a line of bash in the directory, which can say any byte of a name (`$'\xC4'`), and `lathe` there.
    @discardableResult
    private func bash(_ script: String, status: Int32 = 0) throws -> Outcome {
        let program = try LatheBinary.path()
        let outcome = try RunningProcess(
            "bash", ["-c", "lathe() { '\(program)' \"$@\"; }\n" + script], directory: directory.path
        ).outcome()
        #expect(outcome.status == status, "\(outcome.testDescription)")
        return outcome
    }

    /// "disk" in GBK is no UTF-8; the second name is another whose bytes would be replaced by the same text.
    private static let names = #"N=$'\xb4\xc5\xc5\xcc' M=$'\xb4\xc5\xc5\xcb'; "#

    @Test func theResultHasTheNameThatWasGiven() throws {
        try bash(
            Self.names
                + #"lathe convert -q -O qcow2 source.raw "$N".qcow2 && test -f "$N".qcow2 && test $(ls | wc -l) = 2"#)
        try bash(Self.names + #"lathe convert -q -O raw "$N".qcow2 back.raw && cmp source.raw back.raw"#)
        let info = try bash(Self.names + #"lathe info --output json "$N".qcow2"#)
        #expect(try info.json()["filename"]?.text == #"\xB4\xC5\xC5\xCC.qcow2"#)
    }

    @Test func overwriteReplacesTheFileOfThatName() throws {
        try bash(
            Self.names + #"""
                echo other > "$M".raw; echo old > "$N".raw
                lathe convert -q --overwrite -O raw source.raw "$N".raw
                cmp source.raw "$N".raw && test "$(cat "$M".raw)" = other
                """#)
    }

    @Test func everyVerbReadsAndWritesWhatIsNamed() throws {
        try bash(
            Self.names + #"""
                set -e
                mkdir "d$N"
                lathe convert -q -O qcow2 --manifest "d$N/m$N.json" source.raw "d$N/$N.qcow2"
                lathe check -q "d$N/$N.qcow2" 2>/dev/null || lathe check "d$N/$N.qcow2"
                lathe map "d$N/$N.qcow2" > /dev/null
                lathe compare source.raw "d$N/$N.qcow2"
                lathe digest "d$N/$N.qcow2"
                lathe measure -O vmdk "d$N/$N.qcow2"
                lathe verify -q --manifest "d$N/m$N.json" --source source.raw "d$N/$N.qcow2"
                lathe export -q --endpoint "./s$N" --bucket images --object k.qcow2 -O qcow2 "d$N/$N.qcow2"
                lathe verify -q --endpoint "./s$N" --download "d$N/down$N" oss://images/k.qcow2
                cmp "d$N/$N.qcow2" "d$N/down$N"
                TMPDIR="$PWD/d$N" lathe convert -q -O qcow2 -f raw - piped.qcow2 < <(cat source.raw)
                cmp piped.qcow2 "d$N/$N.qcow2"
                lathe convert -q -O vmdk -o subformat=twoGbMaxExtentFlat source.raw "d$N/$N.vmdk"
                lathe convert -q -O raw --allow-backing "d$N" "d$N/$N.vmdk" vmdk.raw
                cmp source.raw vmdk.raw
                """#)
    }

    @Test func aBackingFileIsOpenedByItsBytes() throws {
        try bash(
            Self.names + #"""
                set -e
                cp source.raw "$N".raw
                echo wrong > "$M".raw
                qemu-img create -q -f qcow2 -F raw -b "$N".raw top.qcow2
                lathe convert -q -O raw --allow-backing . top.qcow2 back.raw
                cmp source.raw back.raw
                """#)
    }

    @Test func anObjectsKeyIsText() throws {
        let refused = try bash(
            Self.names + #"cp source.raw "$N".raw; lathe export --endpoint ./store --bucket images "$N".raw"#, status: 1
        )
        #expect(refused.errors.contains("UTF-8") && refused.errors.contains("--object"))
    }

    @Test func anErrorShowsTheBytesOfAName() throws {
        let missing = try bash(Self.names + #"lathe info "$N""#, status: 1)
        #expect(missing.errors.contains(#"\xB4\xC5\xC5\xCC: No such file"#), "\(missing.errors)")
    }
}

/// What a program can't see is never taken for a success.
@Suite struct ArgumentTests {
    @Test(arguments: [[], ["image"], ["admin", "key"]]) func withoutAVerbTheHelpIsNoSuccess(arguments: [String]) throws
    {
        let outcome = try lathe(arguments)
        #expect(outcome.status == 64 && outcome.output.isEmpty && outcome.errors.contains("USAGE"))
    }

    @Test func helpThatIsAskedForIsAResult() throws {
        for arguments in [["--help"], ["help"], ["image", "--help"], ["--version"]] {
            let outcome = try lathe(arguments)
            #expect(outcome.status == 0 && !outcome.output.isEmpty && outcome.errors.isEmpty)
        }
    }

    @Test(.enabled(if: geteuid() == 0, "only root has mount namespaces")) func argumentsAreThereWithoutProc() throws {
        let directory = try TemporaryDirectory()
        let program = try LatheBinary.path()
        try Data(Content.mixed(length: 65_536, seed: 7)).write(to: URL(filePath: directory.file("a.raw")))
        let hidden = { (words: String) in
            try RunningProcess(
                "unshare", ["-m", "bash", "-c", "mount -t tmpfs none /proc && '\(program)' \(words)"],
                directory: directory.path
            ).outcome()
        }
        #expect(try hidden("verify --source a.raw /nonexistent").status == 1)
        #expect(try hidden("convert -q -O qcow2 a.raw b.qcow2").status == 0)
        #expect(try hidden("compare a.raw b.qcow2").status == 0)
        #expect(try hidden("check nothing").status == 1)
        #expect(try directory.contents == ["a.raw", "b.qcow2"])
    }
}
