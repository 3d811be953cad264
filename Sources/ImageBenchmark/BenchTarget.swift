internal import FoundationEssentials
internal import Glibc
internal import ImageFiles
package import ImageModel

/// Makes the files that a run of the benchmark needs; none of them has a name, so none is left behind.
package struct BenchTarget: Sendable {
    let destination: BenchDestination

    package init(destination: BenchDestination) { self.destination = destination }

    /// Where an image goes that is read again.
    func makeImageFile() throws(ImageError) -> any ReadableSink {
        switch destination {
        case .directory(let path): try Self.namelessFile(in: path)
        case .memory: try MemoryFileSink(name: "an image in memory")
        case .none: try Self.namelessFile(in: Self.temporaryDirectory)
        }
    }

    /// Where an image goes whose writing is measured; nil for nowhere.
    func makeMeasuredFile() throws(ImageError) -> (any ReadableSink)? {
        destination == .none ? nil : try makeImageFile()
    }

    /// Lets the disk finish what was written and removed before, so that no run pays for another's.
    func settle() {
        if case .directory = destination { sync() }
    }

    /// Never committed, so the name is never seen.
    private static func namelessFile(in directory: String) throws(ImageError) -> FileSink {
        var status = stat()
        guard unsafe stat(PathText.terminated(directory), &status) == 0,
            status.st_mode & mode_t(S_IFMT) == mode_t(S_IFDIR)
        else {
            throw ImageError(
                .invalidOption, "this is not a directory; --to takes a directory that is there, memory or none",
                path: directory)
        }
        return try FileSink(path: "\(directory)/lathe-bench", replacing: true)
    }

    private static var temporaryDirectory: String {
        let named = unsafe getenv("TMPDIR").map { unsafe PathText.text(of: $0) } ?? ""
        return named.isEmpty ? "/var/tmp" : named
    }

    /// Refuses a run for which there is clearly no room.
    ///
    /// - Parameter bytes: how much of it there will be at the most.
    package func requireRoom(_ bytes: UInt64) throws(ImageError) {
        let room: UInt64?
        let what: String
        switch destination {
        case .memory: (room, what) = (Self.availableMemory, "memory is available")
        case .directory(let path): (room, what) = (Self.freeSpace(path), "is free in \(path)")
        case .none: (room, what) = (Self.freeSpace(Self.temporaryDirectory), "is free in \(Self.temporaryDirectory)")
        }
        guard let room, bytes > room else { return }
        throw ImageError(
            .limitExceeded,
            "this takes up to \(NumberText.size(bytes)), and \(NumberText.size(room)) \(what); name another place with --to, "
                + "or generate less data")
    }

    private static func freeSpace(_ path: String) -> UInt64? {
        var status = statvfs()
        guard unsafe statvfs(path, &status) == 0 else { return nil }
        return UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue
    }

    private static var availableMemory: UInt64? {
        guard let text = try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8) else { return nil }
        let line = text.split(separator: "\n").first { $0.hasPrefix("MemAvailable:") }
        return line?.split(separator: " ").dropFirst().first.flatMap { UInt64($0) }.map { $0 * 1024 }
    }
}
