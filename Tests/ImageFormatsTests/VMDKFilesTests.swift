import ImageModel
import LatheTestSupport
import Testing

@testable import ImageFormats

/// What is written as a descriptor and extents.
@Suite struct VMDKFilesTests {
    static let grain = VMDKTests.grain
    static let border: UInt64 = 2 << 30
    static let subformats = ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"]

    static func image(
        _ subformat: String, size: UInt64, units: [UInt64], name: String = "disk.vmdk", fingerprint: UInt64 = 7,
        options: [String: String] = [:]
    ) throws -> EncodedImage {
        try EncodedImage(
            .vmdk, virtualSize: size, units: units, options: options.merging(["subformat": subformat]) { $1 },
            fingerprint: fingerprint, fileName: name)
    }

    static func files(_ image: EncodedImage) -> [SparseMemory] { image.files.map { image.memory.file($0) } }

    static func text(_ file: SparseMemory) -> String { String(decoding: file[0..<file.length], as: UTF8.self) }

    @Test(arguments: subformats, [0, 512, border - 512, border, border + 512, 5 << 30] as [UInt64])
    func theReaderGivesBackWhatTheEncoderPlaced(subformat: String, size: UInt64) throws {
        let grains = size.dividedRoundingUp(by: Self.grain)
        let edge = Self.border / Self.grain
        let patterns: [Set<UInt64>] = [[], [0, 1, edge - 1, edge, edge + 1, 2 * edge, grains - min(grains, 1)]]
        for units in patterns.map({ $0.filter { $0 < grains }.sorted() }) {
            let image = try Self.image(subformat, size: size, units: units)
            let files = Self.files(image)
            let opened = try FormatCatalog.open(files[0], as: .vmdk, FilesInMemory(files))
            #expect(opened.reader.virtualSize == size)
            let joined = try #require(opened.source as? JoinedSource)
            // From the address space of the encoder into that of the reader.
            var places: [UInt64: UInt64] = [:]
            for (unit, place) in image.places {
                let index = try #require(image.files.lastIndex { $0.range.start <= place })
                #expect(place < image.files[index].range.end)
                places[unit] = joined.base(index).bytes + (place - image.files[index].range.start)
            }
            for extent in try VMDKExtentTests.extents(opened) {
                guard case .raw(let offset) = extent.mapping else {
                    #expect(extent.mapping == .hole)
                    continue
                }
                for unit in extent.range.start.bytes
                    / Self.grain..<extent.range.end.bytes.dividedRoundingUp(by: Self.grain)
                {
                    guard let place = places.removeValue(forKey: unit) else { continue }
                    #expect(place == offset.bytes + unit * Self.grain - extent.range.start.bytes, "unit \(unit)")
                }
            }
            #expect(places.isEmpty)
            #expect(FormatCatalog.check(files[0], openedAs: opened.source, .vmdk).findings.isEmpty)
        }
    }

    @Test func filesAreNamedAndDividedAsQEMUDoes() throws {
        func lines(_ subformat: String, name: String = "disk.vmdk") throws -> (names: [String], extents: [String]) {
            let files = Self.files(try Self.image(subformat, size: (5 << 30) + 512, units: [], name: name))
            let extents = Self.text(files[0]).split(separator: "\n").filter { $0.hasPrefix("RW ") }.map(String.init)
            return (files.map(\.name), extents)
        }
        let flat = try lines("monolithicFlat")
        #expect(flat.names == ["disk.vmdk", "disk-flat.vmdk"])
        #expect(flat.extents == ["RW 10485761 FLAT \"disk-flat.vmdk\" 0"])
        let split = try lines("twoGbMaxExtentFlat", name: "my disk.v2")
        #expect(split.names == ["my disk.v2", "my disk-f001.v2", "my disk-f002.v2", "my disk-f003.v2"])
        #expect(
            split.extents == [
                "RW 4194304 FLAT \"my disk-f001.v2\" 0", "RW 4194304 FLAT \"my disk-f002.v2\" 0",
                "RW 2097153 FLAT \"my disk-f003.v2\" 0",
            ])
        let sparse = try lines("twoGbMaxExtentSparse", name: "disk")
        #expect(sparse.names == ["disk", "disk-s001", "disk-s002", "disk-s003"])
        #expect(sparse.extents.last == "RW 2097153 SPARSE \"disk-s003\"")
    }

    @Test(arguments: subformats) func theDescriptorFollowsContentNameAndOptions(subformat: String) throws {
        func text(_ name: String, _ fingerprint: UInt64, _ options: [String: String] = [:]) throws -> String {
            let image = try Self.image(
                subformat, size: 20 << 20, units: [3], name: name, fingerprint: fingerprint, options: options)
            return Self.text(Self.files(image)[0])
        }
        let first = try text("a.vmdk", 1)
        #expect(try first == text("a.vmdk", 1))
        #expect(try first != text("a.vmdk", 2) && first != text("b.vmdk", 1))
        #expect(try first.replacing("a-", with: "b-") == text("b.vmdk", 1))
        #expect(first.contains("createType=\"\(subformat)\"\n") && first.contains("ddb.virtualHWVersion = \"4\"\n"))
        let other = try text("a.vmdk", 1, ["adapter_type": "lsilogic", "hwversion": "11"])
        #expect(other.contains("ddb.adapterType = \"lsilogic\"\n") && other.contains("ddb.virtualHWVersion = \"11\"\n"))
    }

    @Test func everySparseExtentIsSoundByItself() throws {
        let edge = Self.border / Self.grain
        let image = try Self.image("twoGbMaxExtentSparse", size: 5 << 30, units: [edge - 1, 2 * edge + 5])
        let files = Self.files(image)
        for file in files.dropFirst() {
            #expect(FormatCatalog.check(file, as: .vmdk).findings.isEmpty)
            #expect(try FormatCatalog.header(of: file, as: .vmdk).details.map(\.key) == ["version", "extent"])
        }
        // An extent without data is its tables, and damage in one is found with its file's name.
        #expect(files.map(\.length).dropFirst().map { $0 >> 10 } == [384, 320, 256])
        var damaged = files
        damaged[2].write([0], at: 0)
        let report = FormatCatalog.check(files[0], openedAs: try JoinedSource(damaged), .vmdk)
        #expect(report.corruptions == 1 && report.findings.first?.message.contains("disk-s002.vmdk") == true)
    }

    @Test func whatIsUnsettledIsNotWrittenBefore() throws {
        for subformat in Self.subformats {
            let parameters = EncoderParameters(contentLength: 5 << 30, virtualSize: 5 << 30)
            var encoder = try FormatCatalog.encoder(
                for: .vmdk, parameters: parameters, options: FormatOptions(["subformat": subformat]))
            var open: [[FileRange]] = []
            var metadata: [MetadataSegment] = []
            let edge = Self.border / Self.grain
            for unit in [0, 700, edge - 1, edge, 2 * edge + 1] {
                let before = encoder.unsettled
                let seen = metadata.count
                let place = try encoder.place(unit: unit, storedLength: Self.grain, metadata: &metadata)
                for range in metadata[seen...].map({ FileRange(start: $0.offset, length: $0.length) })
                    + [FileRange(start: place, length: Self.grain)]
                {
                    #expect(before.contains { $0.start <= range.start && range.end <= $0.end }, "\(subformat) \(unit)")
                }
                for (one, next) in zip(before, before.dropFirst()) { #expect(one.end <= next.start) }
                open.append(before)
            }
            let before = encoder.unsettled
            let seen = metadata.count
            _ = try encoder.finish(content: ContentIdentity(fingerprint: 1, virtualSize: 5 << 30), metadata: &metadata)
            for segment in metadata[seen...] {
                let range = FileRange(start: segment.offset, length: segment.length)
                #expect(before.contains { $0.start <= range.start && range.end <= $0.end }, "\(subformat) end")
            }
        }
    }

    @Test func namesThatCanNotStandInADescriptorAreRefused() throws {
        func code(_ name: String, size: UInt64 = 1 << 20) -> ImageError.Code? {
            do throws(ImageError) {
                let parameters = EncoderParameters(contentLength: size, virtualSize: size, fileName: name)
                _ = try FormatCatalog.encoder(
                    for: .vmdk, parameters: parameters, options: FormatOptions(["subformat": "twoGbMaxExtentFlat"]))
                return nil
            } catch {
                return error.code
            }
        }
        #expect(code("a b.vmdk") == nil)
        for name in ["a\"b.vmdk", "a\nb", "a:b.vmdk", "a\\b", "", "a/b"] {
            #expect(code(name) == .invalidOption, "\(name)")
        }
        #expect(code("a", size: 8 << 40) == nil)
        #expect(code("a", size: (8 << 40) + 512) == .limitExceeded)
    }
}
