import ImageModel
import LatheTestSupport
import Testing

/// Several files as one source, and a part of a source as a file.
@Suite struct JoinedSourceTests {
    static let mebibyte: UInt64 = 1 << 20

    /// Three files: of 10 bytes, of none, and of 3 MiB with a hole in front.
    static let joined: JoinedSource = {
        var last = SparseMemory(name: "c")
        last.write([7, 8, 9], at: 2 * mebibyte)
        last.truncate(to: 3 * mebibyte)
        do {
            return try JoinedSource([SparseMemory(Array(1...10), name: "a"), SparseMemory(name: "b"), last])
        } catch {
            fatalError("\(error)")
        }
    }()

    @Test func filesStandApartAtWholeMebibytes() throws {
        let joined = Self.joined
        #expect((0..<3).map { joined.base($0).bytes } == [0, Self.mebibyte, 2 * Self.mebibyte])
        #expect(joined.length == 5 * Self.mebibyte)
        #expect(joined.name == "a")
        #expect(joined.files.map(\.name) == ["a", "b", "c"])
    }

    @Test func aFileThatFillsItsMebibyteStillDoesNotTouchTheNext() throws {
        var full = SparseMemory(name: "full")
        full.truncate(to: Self.mebibyte)
        let joined = try JoinedSource([full, SparseMemory([1], name: "next")])
        #expect(joined.base(1).bytes == 2 * Self.mebibyte)
    }

    @Test func bytesAreThoseOfTheFileThatARangeBeginsIn() throws {
        #expect(try Self.joined.read(FileRange(2, length: 3)) == [3, 4, 5])
        #expect(try Self.joined.read(FileRange(4 * Self.mebibyte + 1, length: 2)) == [8, 9])
        var buffer: [UInt8] = [0, 0, 0]
        try Self.joined.read(FileRange(4 * Self.mebibyte, length: 2), into: &buffer, at: 1)
        #expect(buffer == [0, 7, 8])
    }

    @Test func aRangePastItsFilesEndIsRefusedByThatFilesName() throws {
        for range in [
            FileRange(8, length: 3), FileRange(10, length: 1), FileRange(500, length: 1),
            FileRange(Self.mebibyte, length: 1), FileRange(0, length: 2 * Self.mebibyte + 1),
            FileRange(5 * Self.mebibyte - 1, length: 2), FileRange(.max - 1, length: 1), FileRange(1, length: .max),
        ] {
            let error = try #require(throws: ImageError.self) { try Self.joined.read(range) }
            #expect(error.code == .truncated)
            #expect(try error.path == #require(["a", "b", "c"].first { error.path == $0 }))
            #expect(throws: ImageError.self) { try Self.joined.requireHeld(range) }
        }
        let last = try #require(throws: ImageError.self) {
            try Self.joined.read(FileRange(5 * Self.mebibyte, length: 1))
        }
        #expect(last.path == "c" && last.offset == FileOffset(3 * Self.mebibyte))
    }

    @Test func dataIsLookedForInEachFileInTurn() throws {
        let limit = FileOffset(10 * Self.mebibyte)
        let first = try #require(try Self.joined.nextData(from: FileOffset(0), limit: limit))
        #expect(first == FileRange(0, length: 10))
        let second = try #require(try Self.joined.nextData(from: first.end, limit: limit))
        #expect(second.start.bytes == 4 * Self.mebibyte)
        #expect(try Self.joined.nextData(from: second.end, limit: limit) == nil)
        #expect(try Self.joined.nextData(from: first.end, limit: FileOffset(4 * Self.mebibyte)) == nil)
    }

    @Test func aPlaceIsSaidByItsFile() {
        #expect(Self.joined.place(of: FileOffset(3)) == SourcePlace(name: "a", offset: FileOffset(3)))
        #expect(
            Self.joined.place(of: FileOffset(2 * Self.mebibyte + 5)) == SourcePlace(name: "c", offset: FileOffset(5)))
    }

    @Test func aJoinedSourceMayBeAPartOfAnother() throws {
        let outer = try JoinedSource([SparseMemory([1, 2], name: "top"), Self.joined])
        let base = outer.base(1)
        #expect(try outer.read(FileRange(start: base + 4 * Self.mebibyte, length: 1)) == [7])
        #expect(
            outer.place(of: base + 4 * Self.mebibyte) == SourcePlace(name: "c", offset: FileOffset(2 * Self.mebibyte)))
        #expect(outer.files.map(\.name) == ["top", "a", "b", "c"])
    }

    @Test func aWindowIsAFileOfItsOwn() throws {
        let window = SourceWindow(Self.joined, Self.joined.range(of: 2))
        #expect(window.name == "c" && window.length == 3 * Self.mebibyte)
        #expect(try window.read(FileRange(2 * Self.mebibyte, length: 3)) == [7, 8, 9])
        #expect(throws: ImageError.self) { try window.read(FileRange(3 * Self.mebibyte - 1, length: 2)) }
        #expect(throws: ImageError.self) { try window.read(FileRange(.max, length: 2)) }
        let data = try #require(try window.nextData(from: FileOffset(0), limit: FileOffset(.max)))
        #expect(data.start.bytes == 2 * Self.mebibyte)
        #expect(window.place(of: FileOffset(9)) == SourcePlace(name: "c", offset: FileOffset(9)))
    }

    @Test func filesThatNoAddressSpaceHoldsAreRefused() throws {
        var huge = SparseMemory(name: "huge")
        huge.truncate(to: UInt64(Int64.max) - 4 * Self.mebibyte)
        let error = try #require(throws: ImageError.self) { try JoinedSource([huge, huge]) }
        #expect(error.code == .limitExceeded)
    }
}

/// What of an image's own words is not even tried.
@Suite struct ReferencedNameTests {
    @Test(arguments: [
        ("", "empty"), ("/etc/shadow", "absolute"), ("//host/share", "absolute"), ("../base.qcow2", "'..'"),
        ("a/../../b", "'..'"), ("..", "'..'"), ("nbd:localhost:10809", "'nbd:'"), ("nbd://host/export", "'nbd:'"),
        ("json:{\"driver\":\"file\"}", "'json:'"), ("file:base.raw", "'file:'"), ("http://host/x", "'http:'"),
        ("fat:rw:/tmp", "'fat:'"), ("C:\\disks\\base.vhd", "backslash"), ("..\\base.vhd", "backslash"),
        ("C:base.vhd", "'C:'"), ("base\0.raw", "characters"), ("base\n.raw", "characters"), ("dir/", "directory"),
        ("dir/.", "directory"), (".", "directory"), ("\u{FFFD}.raw", "characters"), (":x", "':'"),
    ])
    func aNameThatMayLeadAnywhereIsRefused(name: String, reason: String) throws {
        let objection = try #require(ReferencedName.objection(to: name))
        #expect(objection.contains(reason))
        let error = try #require(throws: ImageError.self) { try NoReferencedFiles().open(name, namedBy: "top") }
        #expect(error.code == .externalReference && error.message.contains("--allow-backing"))
    }

    @Test(arguments: [
        "base.qcow2", "./base.qcow2", "dir/base.qcow2", "a b.raw", "..base", "base..raw", "dir/with:colon.raw",
        "größe.raw",
        String(repeating: "n", count: 1023),
    ])
    func aPathThatGoesDownIsNoMatter(name: String) { #expect(ReferencedName.objection(to: name) == nil) }

    @Test func aNameThatIsTooLongIsRefusedAndNotShownInFull() {
        #expect(ReferencedName.objection(to: String(repeating: "n", count: 1024)) != nil)
        #expect(ReferencedName.shown(String(repeating: "n", count: 1024)).count == 201)
        #expect(ReferencedName.shown("a\u{1B}[31mb") == "a?[31mb")
    }
}
