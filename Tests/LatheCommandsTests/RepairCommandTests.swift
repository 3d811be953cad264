import Foundation
import LatheTestSupport
import Testing

/// `check --repair` as a command: where the result goes, what is refused, and what is printed.
@Suite struct RepairCommandTests {
    private let directory: TemporaryDirectory
    private let image: String
    private let copy: String

    init() throws {
        directory = try TemporaryDirectory()
        image = directory.file("disk.vdi")
        copy = directory.file("copy.vdi")
        let source = directory.file("source.raw")
        try Data(Content.mixed(length: 3 << 20, seed: 77)).write(to: URL(filePath: source))
        #expect(try lathe("convert", "-q", "-f", "raw", "-O", "vdi", source, image).status == 0)
    }

    /// The number of allocated blocks, wrong.
    private func damage() throws {
        let file = try FileHandle(forUpdating: URL(filePath: image))
        try file.seek(toOffset: 388)
        try file.write(contentsOf: [99])
        try file.close()
    }

    private func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(filePath: path)) }

    @Test func aCopyIsRepairedAndTheImageIsLeft() throws {
        let whole = try bytes(image)
        try damage()
        let damaged = try bytes(image)
        #expect(try lathe("check", image).status == 2)
        let repair = try lathe("check", "--repair", "all", "--output", "json", image, copy)
        #expect(repair.status == 0, "\(repair.testDescription)")
        #expect(try bytes(copy) == whole && bytes(image) == damaged)
        let report = try repair.json()
        #expect(report["corruptions-fixed"]?.number == 1 && report["leaks-fixed"]?.number == 0)
        #expect(report["corruptions"]?.number == 0 && report["repaired"]?.text == copy)
        #expect(report["repairs"]?.elements.first?.text == "the number of allocated blocks is set from 99 to 3")
        #expect(try lathe("check", "-r", "all", image, copy).status == 1, "the copy is there")
        #expect(try lathe("check", "-r", "all", "--overwrite", "--into", copy, image).status == 0)
        #expect(try directory.contents.filter { $0.hasPrefix(".") }.isEmpty)
    }

    @Test func theImageItselfIsRepairedInPlace() throws {
        let whole = try bytes(image)
        try damage()
        let repair = try lathe("check", "--repair", "all", "--in-place", image)
        #expect(repair.status == 0, "\(repair.testDescription)")
        #expect(try bytes(image) == whole)
        #expect(repair.text.contains("REPAIR: the number of allocated blocks is set from 99 to 3"))
        #expect(repair.text.contains("Repaired: \(image)"))
    }

    @Test func aSoundImageIsCopiedAndInPlaceLeftAlone() throws {
        let before = try bytes(image)
        #expect(try lathe("check", "-r", "all", image, copy).text.contains("Copied: \(copy)"))
        #expect(try bytes(copy) == before)
        #expect(try lathe("check", "-r", "all", "--in-place", image).text.contains("Nothing was written."))
        #expect(try bytes(image) == before)
    }

    @Test func whatCanNotBeMendedLeavesNoCopyAndIsExit2() throws {
        let file = try FileHandle(forUpdating: URL(filePath: image))
        try file.seek(toOffset: 1 << 20)
        try file.write(contentsOf: [1, 0, 0, 0])
        try file.close()
        let outcome = try lathe("check", "-r", "all", image, copy)
        #expect(outcome.status == 2, "\(outcome.testDescription)")
        #expect(outcome.text.contains("Nothing was written."))
        #expect(!FileManager.default.fileExists(atPath: copy))
    }

    @Test func aFileThatIsLockedIsNotRepairedInPlace() throws {
        try damage()
        let file = try FileHandle(forReadingFrom: URL(filePath: image))
        #expect(flock(file.fileDescriptor, LOCK_EX) == 0)
        let outcome = try lathe("check", "-r", "all", "--in-place", image)
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("another program has locked the file"))
        #expect(try lathe("check", "-r", "all", image, copy).status == 0, "a copy may be made all the same")
        try file.close()
        #expect(try lathe("check", "-r", "all", "--in-place", image).status == 0)
    }

    @Test(.requiresQEMU) func anImageThatQEMUHasOpenIsNotRepairedInPlace() throws {
        let qcow2 = directory.file("busy.qcow2")
        try QEMU.make(["create", "-q", "-f", "qcow2", qcow2, "1M"])
        let size = try bytes(qcow2).count
        let machine = try RunningProcess("qemu-io", ["-f", "qcow2", "-c", "write 0 64k", "-c", "sleep 60000", qcow2])
        defer { machine.send(SIGKILL) }
        // Once it has written it has the lock.
        while machine.isRunning, try bytes(qcow2).count == size { usleep(10_000) }
        #expect(machine.isRunning)
        let outcome = try lathe("check", "-r", "all", "--in-place", qcow2)
        #expect(outcome.status == 1 && outcome.errors.contains("another program has locked"))
    }

    @Test func onlyAFileIsRepairedInPlace() throws {
        let link = directory.file("pipe")
        #expect(unsafe mkfifo(link, 0o600) == 0)
        for (path, word) in [
            (link, "neither file nor device"), (directory.path, "irectory"), ("-", "only a file"),
            ("oss://bucket/key", "only a file"), (directory.file("absent"), "No such file"),
        ] {
            let outcome = try lathe("check", "-r", "all", "-f", "vdi", "--in-place", path)
            #expect(outcome.status == 1, "\(path): \(outcome.testDescription)")
            #expect(outcome.errors.contains(word), "\(path): \(outcome.errors)")
        }
    }

    @Test func aFormatThatIsNotClearIsAskedFor() throws {
        try damage()
        let odd = directory.file("disk.raw")
        try FileManager.default.moveItem(atPath: image, toPath: odd)
        let before = try bytes(odd)
        let outcome = try lathe("check", "-r", "all", "--in-place", odd)
        #expect(outcome.status == 1 && outcome.errors.contains("-f"), "\(outcome.testDescription)")
        #expect(try bytes(odd) == before)
        #expect(try lathe("check", "-f", "vdi", "-r", "all", "--in-place", odd).status == 0)
    }

    @Test(arguments: [
        ["-r", "all"], ["-r", "all", "--in-place", "--into", "x"], ["--in-place"], ["--into", "x"], ["--overwrite"],
        ["-r", "some", "--in-place"], ["-r", "all", "--in-place", "--overwrite"],
    ]) func aCommandLineThatContradictsItselfIsExit64(arguments: [String]) throws {
        #expect(try lathe(["check"] + arguments + [image]).status == 64)
    }
}
