import ImageModel
import LatheTestSupport
import Synchronization
import Testing

@testable import ImageFormats

/// Files by name, in memory; it remembers which were opened.
final class FilesInMemory: ReferencedFiles {
    private let files: [String: SparseMemory]
    let opened = Mutex<[String]>([])

    init(_ files: [SparseMemory]) { self.files = Dictionary(uniqueKeysWithValues: files.map { ($0.name, $0) }) }

    func open(_ name: String, namedBy image: String) throws(ImageError) -> any ImageSource {
        opened.withLock { $0.append(name) }
        guard let file = files[name] else {
            throw ImageError(.inputOutput, "there is no such file", path: name, operation: "open")
        }
        return file
    }

    func search(
        ending: String, beside image: String, _ isWanted: (any ImageSource) throws(ImageError) -> Bool
    ) throws(ImageError) -> [any ImageSource] { [] }
}

/// Disks whose descriptor is a file of its own.
@Suite struct VMDKExtentTests {
    static let grain = VMDKTests.grain

    static func descriptor(
        _ extents: [String], type: String = "custom", parent: String = "parentCID=ffffffff", cid: String = "1234abcd"
    ) -> SparseMemory {
        let lines =
            ["# Disk DescriptorFile", "version=1", "CID=\(cid)", parent, "createType=\"\(type)\""] + extents
            + ["ddb.adapterType = \"ide\"", ""]
        return SparseMemory(Array(lines.joined(separator: "\r\n").utf8), name: "disk.vmdk")
    }

    /// A hosted sparse extent as QEMU leaves it: with room for a descriptor, and none in it.
    static func sparse(_ name: String, size: UInt64, units: [UInt64]) throws -> (
        file: SparseMemory, image: EncodedImage
    ) {
        let image = try VMDKTests.image("monolithicSparse", size: size, units: units)
        var file = SparseMemory(name: name)
        file.write(image.memory[0..<image.memory.length], at: 0)
        file.write([UInt8](repeating: 0, count: 20 * 512), at: 512)
        return (file, image)
    }

    static func flat(_ name: String, length: UInt64) -> SparseMemory {
        var file = SparseMemory(name: name)
        file.truncate(to: length)
        return file
    }

    static func extents(_ opened: OpenedImage, batch: Int = 100) throws -> [MappedExtent] {
        var list = ExtentList()
        var position: UInt64 = 0
        while position < opened.reader.virtualSize {
            let range = GuestRange(position, length: opened.reader.virtualSize - position)
            for extent in try opened.reader.extents(in: range, atMost: batch, from: opened.source) {
                #expect(extent.range.start.bytes == position)
                position = extent.range.end.bytes
                list.append(extent)
            }
        }
        return list.extents
    }

    static func refusal(_ extents: [String], _ files: [SparseMemory] = [], type: String = "custom") -> ImageError? {
        do throws(ImageError) {
            _ = try FormatCatalog.open(descriptor(extents, type: type), as: .vmdk, FilesInMemory(files))
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: [1, 100]) func extentsOfAllKindsAreOneDisk(batch: Int) throws {
        let sparse = try Self.sparse("b-s002.vmdk", size: 2 * Self.grain, units: [1])
        let files = FilesInMemory([Self.flat("a flat.vmdk", length: 1 << 20), sparse.file])
        let opened = try FormatCatalog.open(
            Self.descriptor([
                "RW 64 FLAT \"a flat.vmdk\" 8", "RDONLY 200 ZERO", "RW 256 SPARSE \"b-s002.vmdk\"",
                "rw 16 VMFS \"a flat.vmdk\"", "RDONLY 8 ZERO \"\"",
            ]), as: .vmdk, files)
        #expect(opened.reader.virtualSize == (64 + 200 + 256 + 16 + 8) * 512)
        #expect(files.opened.withLock { $0 } == ["a flat.vmdk", "b-s002.vmdk"])
        let joined = try #require(opened.source as? JoinedSource)
        let (flat, tables) = (joined.base(1), joined.base(2))
        let place = try #require(sparse.image.places[1])
        #expect(
            try Self.extents(opened, batch: batch) == [
                MappedExtent(range: GuestRange(0, length: 32768), mapping: .raw(flat + 4096)),
                MappedExtent(range: GuestRange(32768, length: 102_400), mapping: .zero),
                MappedExtent(range: GuestRange(135_168, length: Self.grain), mapping: .hole),
                MappedExtent(range: GuestRange(200_704, length: Self.grain), mapping: .raw(tables + place.bytes)),
                MappedExtent(range: GuestRange(266_240, length: 8192), mapping: .raw(flat)),
                MappedExtent(range: GuestRange(274_432, length: 4096), mapping: .zero),
            ])
        let inside = GuestRange(200_704 + 512, length: 1024)
        #expect(
            try opened.reader.extents(in: inside, atMost: 5, from: opened.source) == [
                MappedExtent(range: inside, mapping: .raw(tables + place.bytes + 512))
            ])
    }

    @Test func theHeaderSaysWhatThereIsWithoutOpeningAnything() throws {
        let lines = (1...10).map { "RW 4192256 FLAT \"d-f\($0).vmdk\" 0" }
        let header = try FormatCatalog.header(
            of: Self.descriptor(lines, type: "twoGbMaxExtentFlat"), as: .vmdk)
        #expect(header.virtualSize == 10 * 4_192_256 * 512 && header.unitSize == nil)
        let source = Self.descriptor(lines)
        let details = try header.details(in: source)
        guard case .records(let extents) = details.first(where: { $0.key == "extents" })?.value else {
            Issue.record("no extents in \(details)")
            return
        }
        #expect(extents.count == 10)
        #expect(extents[9].contains(FormatDetail("virtual-size", .number(4_192_256 * 512))))
        #expect(extents[9].contains(FormatDetail("format", .text("FLAT"))))
        #expect(throws: ImageError.self) {
            try header.extents(in: GuestRange(0, length: 512), atMost: 1, from: source)
        }
    }

    @Test func whatIsNoContentOrNotThereIsRefused() throws {
        let flat = Self.flat("f", length: 4096)
        let sparse = try Self.sparse("s", size: 1 << 20, units: [0])
        let whole = Self.descriptor(["RW 8 FLAT \"f\" 0"])
        func code(_ lines: [String], _ type: String = "custom") -> ImageError.Code? {
            Self.refusal(lines, [flat, sparse.file, whole], type: type)?.code
        }
        #expect(code(["RW 8 FLAT \"f\" 0"]) == nil)
        #expect(code(["RW 9 FLAT \"f\" 0"]) == .truncated)
        #expect(code(["RW 8 FLAT \"f\" 1"]) == .truncated)
        #expect(code(["RW 8 FLAT \"f\" 18446744073709551615"]) == .limitExceeded)
        #expect(code(["RW 18446744073709551615 ZERO", "RW 8 ZERO"]) == .limitExceeded)
        #expect(code(["RW 8 FLAT \"g\" 0"]) == .inputOutput)
        #expect(code(["NOACCESS 8 FLAT \"f\" 0"]) == .unsupported)
        #expect(code(["NOACCESS 8 ZERO"]) == .unsupported)
        #expect(code(["RW 8 VMFSRDM \"f\""]) == .unsupported)
        #expect(code(["RW 8 VMFSRAW \"f\""]) == .unsupported)
        #expect(code(["RW 8 TAPE \"f\""]) == .unsupported)
        #expect(code(["RW 8 FLAT"]) == .corrupt)
        #expect(code(["RW 8 FLAT \"f"]) == .corrupt)
        #expect(code(["RW 8 FLAT \"f\" x"]) == .corrupt)
        #expect(code(["RW 8 FLAT \"f\" 0"], "partitionedDevice") == .unsupported)
        #expect(code([]) == .corrupt)
        #expect(code(["RW 2048 SPARSE \"s\""]) == nil)
        #expect(code(["RW 2049 SPARSE \"s\""]) == .mismatch)
        #expect(code(["RW 2048 VMFSSPARSE \"s\""]) == .mismatch)
        #expect(code(["RW 8 SPARSE \"disk.vmdk\""]) == .mismatch)
        #expect(code(Array(repeating: "RW 1 ZERO", count: ImageLimits.VMDK.extents)) == nil)
        #expect(code(Array(repeating: "RW 1 ZERO", count: ImageLimits.VMDK.extents + 1)) == .limitExceeded)
    }

    @Test func withoutLeaveNoExtentIsOpened() throws {
        let error = try #require(throws: ImageError.self) {
            try FormatCatalog.reader(for: .vmdk, source: Self.descriptor(["RW 8 FLAT \"f\" 0"]))
        }
        #expect(error.code == .externalReference && error.message.contains("--allow-backing"))
        // A disk of zeros is whole by itself.
        #expect(try FormatCatalog.reader(for: .vmdk, source: Self.descriptor(["RW 8 ZERO"])).virtualSize == 4096)
    }

    // MARK: Chains

    static func parent(cid: String) -> SparseMemory {
        var file = SparseMemory(name: "base.vmdk")
        let text = descriptor(["RW 256 FLAT \"f\" 0"], cid: cid)
        file.write(text[0..<text.length], at: 0)
        return file
    }

    static func open(parent: SparseMemory, _ line: String) throws -> OpenedImage {
        let sparse = try sparse("s", size: 2 * grain, units: [1])
        let link = descriptor(["RW 256 SPARSE \"s\""], parent: line)
        let files = FilesInMemory([parent, flat("f", length: 2 * grain), sparse.file])
        return try FormatCatalog.open(link, as: .vmdk, files)
    }

    static let hint = "parentCID=00c0ffee\r\nparentFileNameHint=\"base.vmdk\""

    @Test func whereALinkHasNoGrainItsParentShows() throws {
        let opened = try Self.open(parent: Self.parent(cid: "c0ffee"), Self.hint)
        let extents = try Self.extents(opened)
        #expect(extents.map(\.range.length) == [Self.grain, Self.grain])
        #expect(extents.map { if case .raw = $0.mapping { true } else { false } } == [true, true])
        #expect(extents.map(\.depth) == [1, 0])
    }

    @Test func aParentWithOtherContentIsAMismatch() throws {
        let error = try #require(throws: ImageError.self) {
            try Self.open(parent: Self.parent(cid: "00c0ffef"), Self.hint)
        }
        #expect(error.code == .mismatch && error.message.contains("00c0ffee") && error.message.contains("00c0ffef"))
    }

    @Test func aParentThatIsNotNamedIsToldOf() throws {
        let error = try #require(throws: ImageError.self) {
            try Self.open(parent: Self.parent(cid: "c0ffee"), "parentCID=00c0ffee")
        }
        #expect(error.code == .externalReference && error.message.contains("parentFileNameHint"))
    }

    // MARK: Text

    @Test func aDescriptorIsKnownWithoutItsFirstLine() throws {
        let text = Array(
            "# made by hand\n\n version = 1\nCID=1\nparentCID=ffffffff\ncreateType=\"x\"\nRW 8 ZERO\n".utf8)
        #expect(try FormatDetection.detect(SparseMemory(text), name: "a.vmdk") == .vmdk)
        #expect(try FormatCatalog.reader(for: .vmdk, source: SparseMemory(text)).virtualSize == 4096)
        #expect(try FormatDetection.detect(SparseMemory(Array("# only\nRW 8 ZERO".utf8)), name: "a") == .raw)
    }

    @Test func aDescriptorFileIsCheckedAsFarAsItGoes() throws {
        let flat = FormatCatalog.check(Self.descriptor(["RW 8 FLAT \"f\" 0"]), as: .vmdk)
        #expect(flat.findings.isEmpty && flat.incomplete == nil)
        let sparse = FormatCatalog.check(Self.descriptor(["RW 8 SPARSE \"s\""]), as: .vmdk)
        #expect(sparse.findings.isEmpty && sparse.incomplete?.code == .externalReference)
        let path = FormatCatalog.check(Self.descriptor(["RW 8 FLAT \"../f\" 0", "stray"], cid: "ffffffff"), as: .vmdk)
        #expect(path.warnings == 4, "\(path.findings)")
        #expect(FormatCatalog.check(Self.descriptor(["RW 8"]), as: .vmdk).corruptions == 1)
    }

    @Test func anExtentWithoutADescriptorIsCheckedAndNotRead() throws {
        let sparse = try Self.sparse("s", size: 1 << 20, units: [3])
        #expect(FormatCatalog.check(sparse.file, as: .vmdk).findings.isEmpty)
        let header = try FormatCatalog.header(of: sparse.file, as: .vmdk)
        #expect(header.virtualSize == 1 << 20 && header.details.map(\.key) == ["version", "extent"])
        #expect(VMDKTests.refusal(sparse.file)?.code == .unsupported)
    }

    /// A directory of 4 bytes an entry can name one table of 2 KiB, all zero and no hole, for each of them.
    @Test func anEmptyTableThatIsNamedOverAndOverIsReadOnce() throws {
        let size = 4096 * VMDKTests.table
        var image = try VMDKTests.image("monolithicSparse", size: size, units: [])
        let directory = image.memory[56..<64].littleEndian(UInt64.self, at: 0) * 512
        let end = image.memory.length
        image.memory.write([UInt8](repeating: 1, count: 2048), at: end)
        image.memory.write([UInt8](repeating: 0, count: 2048), at: end)
        var entries = [UInt8](repeating: 0, count: 4096 * 4)
        for index in 0..<4096 { entries.storeLittleEndian(UInt32(end / 512), at: 4 * index) }
        image.memory.write(entries, at: directory)
        let source = CountingSource(image.memory)
        let reader = try FormatCatalog.reader(for: .vmdk, source: source)
        let extents = try reader.extents(in: GuestRange(0, length: size), atMost: 9, from: source)
        #expect(extents == [MappedExtent(range: GuestRange(0, length: size), mapping: .hole)])
        #expect(source.count.withLock { $0 } < 64 << 10)
        #expect(FormatCatalog.check(source, as: .vmdk).corruptions > 4000)
        #expect(source.count.withLock { $0 } < 512 << 10)
    }
}
