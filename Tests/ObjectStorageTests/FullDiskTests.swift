import Foundation
import Glibc
import LatheTestSupport
import ObjectStorage
import Testing

/// A file system of a few MiB in memory, unmounted when its owner goes.
private final class SmallFileSystem {
    let path: String
    private let directory: TemporaryDirectory

    init(size: String) throws {
        directory = try TemporaryDirectory()
        path = directory.file("mounted")
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        guard try Self.run("mount", ["-t", "tmpfs", "-o", "size=\(size)", "tmpfs", path]) == 0 else {
            throw CocoaError(.fileWriteUnknown)
        }
    }

    deinit { _ = try? Self.run("umount", ["--lazy", path]) }

    private static func run(_ name: String, _ arguments: [String]) throws -> Int32 {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [name] + arguments
        process.standardInput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus
    }
}

@Suite(.enabled(if: geteuid() == 0, "only root mounts file systems")) struct FullDiskTests {
    private func expectNoSpace(_ body: () throws -> Void) {
        let error = #expect(throws: StoreError.self) { try body() }
        #expect(error?.code == .noSpace && error?.isTransient == false, "\(error.map { "\($0)" } ?? "")")
        #expect(error?.message.contains("free some space") == true)
    }

    @Test func anObjectThatDoesNotFitIsAnErrorAndLeavesRoom() throws {
        let disk = try SmallFileSystem(size: "4m")
        let bucket = try DirectoryStore(path: disk.path).ensureBucket(BucketName("disks"))
        let small = SampleDisk.full(length: 1 << 20, seed: 1)
        let key = try ObjectKey("x")
        _ = try bucket.put(ObjectBody(small), to: key, .init(), replacing: true)
        let large = ObjectBody([UInt8](repeating: 7, count: 8 << 20))
        for _ in 0..<5 {
            expectNoSpace { _ = try bucket.put(large, to: key, .init(), replacing: true) }
            #expect(try bucket.get(key, range: 0..<1 << 20, tag: nil) == small)
        }
        // All that the failures took is free again.
        _ = try bucket.put(ObjectBody(SampleDisk.full(length: 2 << 20, seed: 3)), to: key, .init(), replacing: true)
        #expect(try filesBelow(disk.path).count == 3)
    }

    @Test func aPartThatDoesNotFitLeavesTheOthers() throws {
        let disk = try SmallFileSystem(size: "4m")
        let bucket = try DirectoryStore(path: disk.path).ensureBucket(BucketName("disks"))
        let key = try ObjectKey("x")
        let upload = try bucket.initiate(key, .init(), partLength: 1 << 20, replacing: true)
        var parts: [StoredPart] = []
        for number in 1...3 {
            let body = ObjectBody(SampleDisk.full(length: 1 << 20, seed: UInt64(number)))
            parts.append(try bucket.upload(body, asPart: number, of: upload))
        }
        for number in [4, 1] {
            expectNoSpace {
                let body = ObjectBody(SampleDisk.full(length: 1 << 20, seed: 9))
                _ = try bucket.upload(body, asPart: number, of: upload)
            }
        }
        #expect(try bucket.parts(of: upload) == parts)
        _ = try bucket.complete(upload, parts: parts, replacing: true)
        let expected = (1...3).flatMap { SampleDisk.full(length: 1 << 20, seed: UInt64($0)) }
        #expect(try bucket.get(key, range: 0..<3 << 20, tag: nil) == expected)
    }

    @Test func partsThatMustBeCopiedAndDoNotFitStay() throws {
        let disk = try SmallFileSystem(size: "4m")
        let bucket = try DirectoryStore(path: disk.path).ensureBucket(BucketName("disks"))
        let upload = try bucket.initiate(ObjectKey("x"), .init(), partLength: 1 << 20, replacing: true)
        var parts: [StoredPart] = []
        for number in [1, 3, 5] {
            let body = ObjectBody(SampleDisk.full(length: 1 << 20, seed: UInt64(number)))
            parts.append(try bucket.upload(body, asPart: number, of: upload))
        }
        expectNoSpace { _ = try bucket.complete(upload, parts: parts, replacing: true) }
        #expect(try bucket.parts(of: upload) == parts)
        try bucket.abort(upload)
        #expect(try filesBelow(disk.path) == ["disks/.lathe/bucket.json"])
    }
}
