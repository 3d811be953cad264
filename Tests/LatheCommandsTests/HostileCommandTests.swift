import Foundation
import Glibc
import LatheTestSupport
import Testing

/// Hostile images and the real binary: which files it opens, and how much memory it takes.
@Suite struct HostileCommandTests {
    private static let images = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "testdata/hostile").path

    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// Images that name files which are there, beside them.
    static let naming = [
        "qcow2-backing-no-format.qcow2", "qcow2-backing-itself.qcow2", "qcow2-data-file-compressed.qcow2",
        "qcow2-data-file-itself.qcow2", "qcow2-snapshot-in-data-file.qcow2", "vhd-locator-long.vhd",
        "vhd-parent-up.vhd",
        "vhd-parent-itself.vhd", "vdi-parent-unknown.vdi", "vdi-parent-itself.vdi",
    ]

    @Test func infoCheckAndDigestOpenTheOneFileAlone() throws {
        for name in ["base.img", "data.raw", "parent.vhd", "other.vdi", "passwd"] {
            try Data([1, 2, 3]).write(to: URL(filePath: directory.file(name)))
        }
        for image in Self.naming {
            try FileManager.default.copyItem(atPath: "\(Self.images)/\(image)", toPath: directory.file(image))
            let watch = try OpenWatch(directory.path)
            for verb in ["info", "check", "digest"] {
                let format = image.prefix { $0 != "-" }
                let outcome = try lathe(verb, "-f", String(format), image, directory: directory.path)
                #expect(outcome.signal == nil, "\(outcome.testDescription)")
            }
            #expect(try watch.opened() == [image])
            // The watch itself works: this is seen.
            _ = try Data(contentsOf: URL(filePath: directory.file("passwd")))
            #expect(try watch.opened() == ["passwd"])
            try FileManager.default.removeItem(atPath: directory.file(image))
        }
    }

    /// Images that say of something that it takes gibibytes.
    static let greedy = [
        "qcow2-l1-past-end.qcow2", "qcow2-size-bomb.qcow2", "qcow2-snapshot-l1-size.qcow2",
        "qcow2-snapshot-extra-max.qcow2", "qcow2-zstd-window.qcow2", "qcow2-zstd-bomb.qcow2",
        "qcow2-deflate-bomb.qcow2",
        "vhd-table-past-end.vhd", "vhd-size-bomb.vhd", "vhd-locator-long.vhd", "vdi-blocks-past-end.vdi",
        "vdi-extra-max.vdi", "package-size-exabyte.tar.gz", "package-unit-bomb.tar.gz",
    ]

    /// Glance gives the program that looks at an upload 1 GiB of address space and 2 s of processor time.
    @Test(arguments: greedy) func aNumberInAnImageTakesNoMemory(image: String) throws {
        let format = image.hasPrefix("package-") ? "raw.tar.gz" : String(image.prefix { $0 != "-" })
        for verb in ["info", "check", "digest"] {
            let outcome = try shell(
                "ulimit -v 1048576; ulimit -t 10; exec \"$1\" \(verb) -f \(format) \"$2\"", "\(Self.images)/\(image)")
            #expect(outcome.signal == nil, "\(outcome.testDescription)")
            #expect(outcome.status.map { $0 < 4 } == true, "\(outcome.testDescription)")
            #expect(!outcome.errors.contains("no memory"), "\(outcome.testDescription)")
        }
    }

    /// The 32 MiB of an L1 table can name four million L2 tables: 2 GiB of file, none of it written.
    ///
    /// A debug build takes minutes for all of them, so there a 32nd has to do.
    @Test func aCheckOfFourMillionTablesTakesLittleMemory() throws {
        let image = directory.file("tables.qcow2")
        var count: UInt64 = 4 << 20
        #if DEBUG
            count /= 32
        #endif
        try Self.writeTables(count, to: image)
        let outcome = try shell(
            "ulimit -v 1048576; ulimit -t 60; exec \"$1\" check -f qcow2 \"$2\"", image)
        // None of the tables has a refcount.
        #expect(outcome.status == 2, "\(outcome.testDescription)")
        #expect(outcome.text.contains("at byte 1024, L1 entry 0 is "), "\(outcome.text.prefix(500))")
    }

    /// Clusters of 512 bytes: header, a refcount table without a block, an L1 table, and the holes that it names as L2 tables.
    private static func writeTables(_ count: UInt64, to path: String) throws {
        var header = Data(count: 1024)
        func put(_ value: UInt64, _ width: Int, at place: Int) {
            for step in 0..<width {
                header[place + step] = UInt8(truncatingIfNeeded: value >> UInt64(8 * (width - 1 - step)))
            }
        }
        put(0x5146_49FB, 4, at: 0)
        put(3, 4, at: 4)
        put(9, 4, at: 20)
        put(count * 64 * 512, 8, at: 24)
        put(count, 4, at: 36)
        put(1024, 8, at: 40)
        put(512, 8, at: 48)
        put(1, 4, at: 56)
        put(4, 4, at: 96)
        put(104, 4, at: 100)
        let first = 1024 + count * 8
        var table = [UInt64](repeating: 0, count: Int(count))
        for index in table.indices { table[index] = ((first + UInt64(index) * 512) | 1 << 63).bigEndian }
        let bytes = unsafe table.withUnsafeBytes { unsafe Data($0) }
        try (header + bytes).write(to: URL(filePath: path))
        let file = try FileHandle(forUpdating: URL(filePath: path))
        try file.truncate(atOffset: first + count * 512)
        try file.close()
    }
}

/// Sees which files of a directory are opened, by whichever process.
private final class OpenWatch {
    private let descriptor: CInt

    init(_ directory: String) throws {
        descriptor = inotify_init1(CInt(IN_NONBLOCK))
        try #require(descriptor >= 0)
        let watch = unsafe inotify_add_watch(descriptor, directory, UInt32(IN_OPEN))
        try #require(watch >= 0)
    }

    deinit { close(descriptor) }

    /// The names of the files that were opened since the last time that this was asked.
    func opened() throws -> Set<String> {
        var names: Set<String> = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = unsafe Glibc.read(descriptor, &buffer, buffer.count)
            guard count > 0 else { return names }
            // wd, mask, cookie and len, four bytes each; then the name, filled up with zeros.
            var place = 0
            while place + 16 <= count {
                let length = Int(buffer[place + 12]) | Int(buffer[place + 13]) << 8
                let name = buffer[(place + 16)..<(place + 16 + length)].prefix { $0 != 0 }
                if !name.isEmpty { names.insert(String(decoding: name, as: UTF8.self)) }
                place += 16 + length
            }
        }
    }
}
