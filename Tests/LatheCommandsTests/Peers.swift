import Foundation
import Testing

/// Programs of others that ours is held against.
enum Peers {
    /// Set by `scripts/test` and CI: a peer that is absent fails its tests instead of skipping them.
    static let areRequired = ProcessInfo.processInfo.environment["LATHE_REQUIRE_PEERS"] == "1"

    static func canRun(_ names: String...) -> Bool { areRequired || names.allSatisfy(Tool.isInstalled) }
}

extension Trait where Self == ConditionTrait {
    /// Skips where qemu-img is absent; with LATHE_REQUIRE_PEERS=1 the test runs, and fails for want of it.
    static var requiresQEMU: Self { .enabled(if: Peers.canRun("qemu-img"), "qemu-img is not installed") }

    static var requiresExt4: Self { .enabled(if: Peers.canRun("mkfs.ext4"), "mkfs.ext4 is not installed") }

    /// Only root can mount, drop privileges, and read what others can't.
    static var requiresRoot: Self { .enabled(if: geteuid() == 0, "not run as root") }
}

/// Asks qemu-img.
enum QEMU {
    static func run(_ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation) throws -> Outcome {
        try RunningProcess("qemu-img", arguments).outcome()
    }

    /// Wants it to succeed.
    @discardableResult
    static func make(_ arguments: [String], sourceLocation: SourceLocation = #_sourceLocation) throws -> Outcome {
        try Tool.run("qemu-img", arguments, sourceLocation: sourceLocation)
    }
}
