import Foundation
import Glibc
import LatheTestSupport
import Testing

/// A block device that others have.
@Suite(.enabled(if: geteuid() == 0 && LoopDevice.canMake, "root and loop devices are needed"), .serialized)
struct BlockDeviceTests {
    private let directory: TemporaryDirectory
    private let device: LoopDevice

    init() throws {
        directory = try TemporaryDirectory(in: "/var/tmp")
        let file = directory.file("disk.raw")
        try Tool.run("truncate", ["-s", "16M", file])
        device = try LoopDevice(file)
    }

    @Test func aMountedDeviceIsReadWithANote() throws {
        #expect(try lathe("digest", "-f", "raw", device.path).errors.isEmpty)
        try Tool.run("mkfs.ext4", ["-q", device.path])
        let place = directory.file("mounted")
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: false)
        try Tool.run("mount", [device.path, place])
        defer { _ = try? RunningProcess("umount", [place]).outcome() }
        try Tool.run("sync", ["-f", place])
        let read = try lathe("map", "-f", "raw", device.path)
        #expect(read.errors.contains("note: \(device.path): it is mounted at '\(place)'"), "\(read.testDescription)")
    }
}

/// A file as a block device, for as long as it has an owner.
private final class LoopDevice {
    let path: String

    init(_ file: String) throws {
        path = try Tool.run("losetup", ["--find", "--show", file]).text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    deinit { _ = try? RunningProcess("losetup", ["-d", path]).outcome() }

    static var canMake: Bool {
        FileManager.default.fileExists(atPath: "/dev/loop-control")
            && (try? RunningProcess("losetup", ["--find"]).outcome().status) == 0
    }
}
