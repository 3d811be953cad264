import ImageModel
import LatheTestSupport
import ObjectStorage
import ObjectStoreConformance
import Testing

/// What of a store's objects an image can have opened: those beneath the folder that the user named, and no others.
@Suite struct BeneathPrefixTests {
    private let store = MemoryStore()

    init() throws {
        for key in ["base", "vm/base", "vm/sub/base", "vmx/base", "vm/a.vdi", "vm/b.VDI", "vm/sub/c.vdi", "vmx/d.vdi"] {
            try put(key)
        }
    }

    /// Puts an object whose content is its key.
    private func put(_ key: String) throws {
        _ = try store.put(ObjectBody(Array(key.utf8)), to: ObjectKey(key), .init(), replacing: true)
    }

    private func key(_ name: String, namedBy image: String, in folder: String = "vm") throws -> String {
        let source = try BeneathPrefix(folder, in: store).open(name, namedBy: image)
        return String(decoding: try source.read(FileRange(0, length: source.length)), as: UTF8.self)
    }

    private func image(_ key: String) -> String { "\(store.name)/\(key)" }

    @Test(arguments: ["vm", "vm/"]) func aNameIsRelativeToTheImageThatHasIt(folder: String) throws {
        #expect(try key("base", namedBy: image("vm/top"), in: folder) == "vm/base")
        #expect(try key("base", namedBy: image("vm/sub/top"), in: folder) == "vm/sub/base")
        #expect(try key("./sub//base", namedBy: image("vm/top"), in: folder) == "vm/sub/base")
        #expect(try key("base", namedBy: image("top"), in: "") == "base")
        #expect(try key("base", namedBy: image("vm/top"), in: "") == "vm/base")
    }

    @Test func anImageThatIsNotInTheBucketHasItsFilesInTheAllowedFolder() throws {
        for elsewhere in ["/disks/top", "standard input", "top", "oss://another/vm/top"] {
            #expect(try key("base", namedBy: elsewhere) == "vm/base")
        }
    }

    @Test func anImageOutsideTheFolderIsNotTakenForOneInside() throws {
        for outside in [image("vmx/top"), image("top")] {
            let error = #expect(throws: ImageError.self) { try key("base", namedBy: outside) }
            #expect(error?.code == .externalReference && error?.message.contains("not beneath") == true)
        }
        #expect(try key("vm/base", namedBy: image("top")) == "vm/base")
    }

    @Test func aNameThatLeadsUpIsFollowedWhereItEndsBeneath() throws {
        #expect(try key("../base", namedBy: image("vm/sub/top")) == "vm/base")
        #expect(try key("sub/../base", namedBy: image("vm/top")) == "vm/base")
    }

    @Test(arguments: ["../base", "sub/../../base", "/base", "", "sub/", "json:{}", "a\\b", "oss://memory/base"])
    func aNameThatLeadsOutIsRefused(name: String) {
        let error = #expect(throws: ImageError.self) { try key(name, namedBy: image("vm/top")) }
        #expect(error?.code == .externalReference, "\(name): \(String(describing: error))")
    }

    @Test func whatIsNotThereIsNamedAsTheStoreHasIt() {
        let error = #expect(throws: ImageError.self) { try key("missing", namedBy: image("vm/top")) }
        #expect(error?.path == image("vm/missing"))
        let long = String(repeating: "a", count: 1000) + "/" + String(repeating: "b", count: 20)
        let refused = #expect(throws: ImageError.self) { try key(long, namedBy: image("vm/top")) }
        #expect(refused?.code == .externalReference)
    }

    @Test func aSearchFindsWhatIsInTheFolderAndNothingDeeper() throws {
        let files = BeneathPrefix("vm", in: store)
        func found(beside image: String) throws -> [String] {
            try files.search(ending: ".vdi", beside: image) { _ in true }.map(\.name)
        }
        #expect(try found(beside: image("vm/top")) == ["vm/a.vdi", "vm/b.VDI"].map(image))
        #expect(try found(beside: image("vm/sub/top")) == ["vm/sub/c.vdi", "vm/a.vdi", "vm/b.VDI"].map(image))
        let wanted = try files.search(ending: ".vdi", beside: "top") { (source) throws(ImageError) in
            guard source.name.hasSuffix("VDI") else { throw ImageError(.corrupt, "not this one") }
            return true
        }
        #expect(wanted.map(\.name) == [image("vm/b.VDI")])
    }

    @Test func aSearchEndsWhereAnObjectCanNotBeLookedInto() throws {
        let down = MemoryStore(before: { (call, _) throws(StoreError) in
            if case .get = call { throw StoreError(.connection, "the network is down") }
        })
        _ = try down.put(ObjectBody([1, 2, 3]), to: ObjectKey("vm/a.vdi"), .init(), replacing: true)
        let error = #expect(throws: ImageError.self) {
            try BeneathPrefix("vm", in: down).search(ending: ".vdi", beside: "top") { (source) throws(ImageError) in
                try source.read(FileRange(0, length: 3)).isEmpty
            }
        }
        #expect(error?.code == .store, "\(String(describing: error))")
    }

    @Test func aSearchAmongTooManyObjectsIsRefused() throws {
        for index in 0..<BeneathPrefix.maximumSearch { try put("vm/sub/\(index)") }
        let error = #expect(throws: ImageError.self) {
            try BeneathPrefix("vm", in: store).search(ending: ".vdi", beside: "top") { _ in true }
        }
        #expect(error?.code == .limitExceeded)
    }
}
