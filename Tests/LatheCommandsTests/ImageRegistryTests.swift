import Foundation
import LatheTestSupport
import Testing

/// `lathe image`.
@Suite struct ImageRegistryTests {
    private let service: ServiceDirectory

    init() throws {
        service = try ServiceDirectory()
        try service.begin()
    }

    @Test func anImageIsRegisteredFromFilesOfAnyFormat() throws {
        try service.writeDisk("system.raw", bytes: 5 << 20)
        let converted = try LatheBinary.start(
            ["convert", "-O", "vhd", "system.raw", "home.vhd"], directory: service.directory.path
        ).outcome()
        #expect(converted.status == 0, "\(converted.testDescription)")
        let added = try service.json(
            "image", "add", "system.raw", "--data", "home.vhd", "--name", "build-server", "--platform", "Debian")
        let id = try #require(added["id"]?.text)
        #expect(id.hasPrefix("m-"))
        #expect(added["status"] == .text("Available") && added["region"] == .text("cn-hangzhou"))
        let disks = added["disks"]?.elements ?? []
        #expect(disks.map { $0["format"] } == [.text("raw"), .text("vhd")])
        #expect(disks.map { $0["type"] } == [.text("system"), .text("data")])
        #expect(disks.map { $0["device"] } == [.text("/dev/xvda"), .text("/dev/xvdb")])
        #expect(disks.first?["virtualSize"] == .number(5 << 20))
        #expect(disks.first?["path"] == .text(service.directory.file("system.raw")))
        #expect(try service.json("image", "show", id) == added)
        #expect(try service.json("image", "list").elements == [added])
        #expect(try service.json("image", "list", "--region", "eu-west-1") == .list([]))
        let table = try service.run("image", "list")
        #expect(table.lines.count == 2 && table.lines[1].contains("build-server"), "\(table.testDescription)")
    }

    @Test func marksAreSetAndTakenAway() throws {
        try service.writeDisk("disk.raw")
        _ = try service.json(
            "image", "add", "disk.raw", "--name", "debian-12", "--id", "m-1", "--encrypted", "--product-code", "cmjj01")
        let marked = try service.json(
            "image", "set", "m-1", "--status", "UnAvailable", "--license-restriction", "not for export")
        #expect(marked["status"] == .text("UnAvailable") && marked["productCode"] == .text("cmjj01"))
        #expect(marked["licenseRestriction"] == .text("not for export"))
        #expect(marked["disks"]?.elements.map { $0["encrypted"] } == [.flag(true)])
        let plain = try service.json(
            "image", "set", "m-1", "--status", "Available", "--product-code", "", "--license-restriction", "",
            "--not-encrypted", "--name", "debian-12.1")
        #expect(plain["productCode"] == nil && plain["licenseRestriction"] == nil)
        #expect(plain["disks"]?.elements.map { $0["encrypted"] } == [.flag(false)])
        #expect(plain["name"] == .text("debian-12.1"))
        #expect(try service.json("image", "show", "m-1") == plain)
    }

    @Test func anImageThatIsForgottenLeavesItsFile() throws {
        try service.writeDisk("disk.raw")
        _ = try service.json("image", "add", "disk.raw", "--name", "debian-12", "--id", "m-1")
        #expect(try service.json("image", "remove", "m-1") == .object(["removed": .text("m-1")]))
        #expect(try service.json("image", "list") == .list([]))
        #expect(try service.directory.contents.contains("disk.raw"))
        let again = try service.run("image", "remove", "m-1")
        #expect(again.status == 1 && again.errors.contains("no image of this id"), "\(again.testDescription)")
    }

    /// A guest could have written what the file looks like into its own disk.
    @Test func aNameAndAContentThatDisagreeAreNotRegistered() throws {
        try service.writeDisk("system.raw")
        let converted = try LatheBinary.start(
            ["convert", "-O", "qcow2", "system.raw", "disk.qcow2"], directory: service.directory.path
        ).outcome()
        #expect(converted.status == 0)
        try FileManager.default.moveItem(
            atPath: service.directory.file("disk.qcow2"), toPath: service.directory.file("disk.raw"))
        let outcome = try service.run("image", "add", "disk.raw", "--name", "debian-12")
        #expect(outcome.status == 1 && outcome.errors.contains("-f raw"), "\(outcome.testDescription)")
        let added = try service.json("image", "add", "disk.raw", "-f", "raw", "--name", "debian-12")
        #expect(added["disks"]?.elements.map { $0["format"] } == [.text("raw")])
    }

    @Test(arguments: [
        ["add", "absent.raw", "--name", "debian-12"], ["add", "disk.raw", "--name", "1"],
        ["add", "disk.raw", "--name", "debian-12", "--region", "absent"],
        ["add", "disk.raw", "--name", "debian-12", "--account", "absent"],
        ["add", "disk.raw", "--name", "debian-12", "--id", "../x"], ["show", "m-absent"],
        ["set", "m-absent", "--status", "Available"],
    ]) func whatCannotBeIsOneLineAndExit1(_ arguments: [String]) throws {
        try service.writeDisk("disk.raw")
        let outcome = try LatheBinary.start(
            ["image"] + arguments + ["--data-directory", service.path], directory: service.directory.path
        ).outcome()
        #expect(outcome.status == 1, "\(outcome.testDescription)")
        #expect(outcome.output.isEmpty && outcome.errors.hasPrefix("lathe: "))
        #expect(outcome.errors.split(separator: "\n").count == 1)
        #expect(try service.json("image", "list") == .list([]))
    }

    @Test(arguments: [["add", "disk.raw"], ["set", "m-1"], ["set", "m-1", "--status", "Fine"], ["show"]])
    func aWrongCommandLineIsExit64(_ arguments: [String]) throws {
        let outcome = try lathe(["image"] + arguments + ["--data-directory", service.path])
        #expect(outcome.status == 64, "\(outcome.testDescription)")
    }
}
