import Foundation
import LatheTestSupport
import Testing

/// A file system of a test's own in a file, mounted over a loop device; it is unmounted when its owner goes, however the
/// test ends.
final class LoopFileSystem {
    enum Kind: String, CaseIterable, CustomTestStringConvertible {
        case xfs, btrfs
        var testDescription: String { rawValue }
    }

    /// Where it is mounted.
    let path: String
    private let directory: TemporaryDirectory

    /// - Parameter sourceLocation: of the test that is to blame where it can't be made.
    init(_ kind: Kind, sourceLocation: SourceLocation = #_sourceLocation) throws {
        directory = try TemporaryDirectory(in: "/var/tmp")
        path = directory.file("mounted")
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        let image = directory.file("file-system")
        try Tool.run("truncate", ["-s", "512M", image], sourceLocation: sourceLocation)
        // Reflinks are the default of mkfs.xfs since 2019; asked for, they are not left to a configuration.
        let options = kind == .xfs ? ["-q", "-m", "reflink=1"] : ["-q"]
        try Tool.run("mkfs.\(kind.rawValue)", options + [image], sourceLocation: sourceLocation)
        let mounted = try RunningProcess("mount", ["-t", kind.rawValue, "-o", "loop", image, path]).outcome()
        guard mounted.status == 0 else {
            throw Tool.Missing(description: "mounting a \(kind.rawValue) of our own failed: \(mounted.errors)")
        }
    }

    deinit {
        if (try? RunningProcess("umount", [path]).outcome().status) == 0 { return }
        // Somebody still has a file open; it goes from sight now, and with the last that is closed.
        _ = try? RunningProcess("umount", ["--lazy", path]).outcome()
    }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Bytes in use, when all that was written is on its disk.
    func usedBytes() throws -> UInt64 {
        try Tool.run("sync", ["-f", path])
        let attributes = try FileManager.default.attributesOfFileSystem(forPath: path)
        let size = try #require(attributes[.systemSize] as? UInt64)
        return size - (try #require(attributes[.systemFreeSize] as? UInt64))
    }

    /// Whether this machine can mount one: the kernel has loop devices and the file system, and lets us.
    static func canMount(_ kind: Kind) -> Bool {
        guard FileManager.default.fileExists(atPath: "/dev/loop-control") else { return false }
        guard (try? RunningProcess("losetup", ["--find"]).outcome().status) == 0 else { return false }
        let known = (try? String(contentsOfFile: "/proc/filesystems", encoding: .utf8)) ?? ""
        if known.split(separator: "\n").contains(where: { $0.hasSuffix("\t\(kind.rawValue)") }) { return true }
        return (try? RunningProcess("modprobe", [kind.rawValue]).outcome().status) == 0
    }
}

extension Trait where Self == ConditionTrait {
    /// Skips where the kernel has no loop device or no such file system; its mkfs is a peer as any other.
    static var requiresLoopDevice: Self {
        .enabled(
            if: LoopFileSystem.Kind.allCases.allSatisfy(LoopFileSystem.canMount),
            "the kernel has no loop device, XFS or btrfs")
    }

    static var requiresReflinkTools: Self {
        .enabled(if: Peers.canRun("mkfs.xfs", "mkfs.btrfs"), "mkfs.xfs or mkfs.btrfs is not installed")
    }
}
