internal import ObjectStorage
internal import Testing

extension ObjectStoreConformance {
    func objectsComeBack() throws {
        for length in [0, 1, 4095, 4096, 4097, 300_000] {
            let key = try key("put-\(length)")
            let expected = content("put-\(length)", length)
            expect(.noSuchObject, "head of what is not there") { _ = try store.head(key) }
            expect(.noSuchObject, "get of what is not there") { _ = try store.get(key, range: 0..<1, tag: nil) }
            let summary = try put(expected, key)
            require(summary.length == UInt64(length) && !summary.tag.isEmpty, "what put answers: \(summary)")
            let head = try store.head(key)
            require(head.tag == summary.tag, "put answers the tag \(summary.tag), head \(head.tag)")
            require(head.modified > 1_500_000_000, "an object of 1970: \(head)")
            try expect(key, holds: expected, "put")
            try store.delete(key)
        }
        // Zeros between data: what a store may leave out must read as zeros.
        let key = try key("zeros")
        var sparse = [UInt8](repeating: 0, count: 1 << 20)
        sparse[5000] = 1
        sparse[900_001] = 2
        try put(sparse, key)
        try expect(key, holds: sparse, "put of zeros")
        _ = try store.put(ObjectBody(zeros: 123_457), to: key, .init(), replacing: true)
        try expect(key, holds: [UInt8](repeating: 0, count: 123_457), "put of nothing but zeros")
        try store.delete(key)
    }

    func rangesAreExact() throws {
        let key = try key("ranges")
        let expected = content("ranges", 10_000)
        let tag = try put(expected, key).tag
        let ranges: [Range<UInt64>] = [0..<1, 0..<10_000, 9_999..<10_000, 1..<9_999, 4096..<8192, 5000..<5001]
        for range in ranges {
            let got = try store.get(key, range: range, tag: range.lowerBound % 2 == 0 ? tag : nil)
            let isSame = got == Array(expected[Int(range.lowerBound)..<Int(range.upperBound)])
            require(isSame, "bytes \(range)")
        }
        expect(.invalidRange, "a range behind the end") { _ = try store.get(key, range: 10_000..<10_001, tag: nil) }
        expect(.invalidRange, "a range over the end") { _ = try store.get(key, range: 9_990..<10_010, tag: nil) }
        try put(content("other", 10_000), key)
        expect(.preconditionFailed, "a range of an object that was replaced") {
            _ = try store.get(key, range: 0..<1, tag: tag)
        }
        try store.delete(key)
    }

    func keysAreTheirBytes() throws {
        let special =
            (capabilities.keepsSlashes ? ["back\\slash", "folder/"] : []) + (capabilities.listsSpaces ? ["a b"] : [])
        let names =
            special + [
                "a+b", "a%20b", "a%2Fb", "100%", "~tilde", "é", "e\u{301}", "日本語/ディスク.raw", "🙂", "quote\"'&<>",
                "a=b&c=d?e#f",
                "deep/" + (0..<40).map { "d\($0)" }.joined(separator: "/"), "dots/..hidden", "dots/.hidden", "dots/...",
                "semi;colon:",
                "long-" + String(repeating: "x", count: 200), "-", "*", "(parens)[brackets]{braces}",
            ]
        for name in names { try put(Array("bytes of \(name)".utf8), key(name)) }
        for name in names { try expect(key(name), holds: Array("bytes of \(name)".utf8), "keys") }
        let listed = try store.list(prefix: "conformance/", after: nil, count: 1000).entries.map(\.key)
        let expected = names.map { "conformance/" + $0 }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        let isSame = inOrder(listed).map { Array($0.utf8) } == expected.map { Array($0.utf8) }
        require(isSame, "the keys come back as \(listed)")
        for name in names { try store.delete(key(name)) }
    }

    /// Keys as they come, or where the store has an order of its own, in ours.
    private func inOrder(_ keys: [String]) -> [String] {
        capabilities.listsInOrder ? keys : keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// Every key under a prefix, page by page.
    private func listed(_ prefix: String, after: String? = nil, count: Int) throws -> [ObjectPage.Entry] {
        var entries: [ObjectPage.Entry] = []
        var last = after
        while true {
            let page = try store.list(prefix: prefix, after: last, count: count)
            require(page.entries.count <= count, "a page of \(page.entries.count) where \(count) were asked for")
            entries += page.entries
            guard page.isTruncated, let next = page.entries.last?.key else { return entries }
            last = next
        }
    }

    private func sameKeys(_ entries: [ObjectPage.Entry], _ names: some Sequence<String>) -> Bool {
        inOrder(entries.map(\.key)).map { Array($0.utf8) } == names.map { Array("conformance/\($0)".utf8) }
    }

    func listingsAreInOrder() throws {
        // '-' and '.' come before '/', '0' behind it: a folder has its place by its slash.
        let names = ["l/a", "l/a-b", "l/a.b", "l/a/", "l/a0", "l/b-c", "l/b/1", "l/b/2/x", "l/b0", "l/ä", "l0"]
            .filter { $0 != "l/a/" }
        for name in names.reversed() { try put(content(name, 10), key(name)) }
        let all = try listed("conformance/", count: 1000)
        require(sameKeys(all, names), "all, in order: \(all.map(\.key))")
        require(all.allSatisfy { $0.length == 10 && !$0.tag.isEmpty }, "lengths and tags of what is listed")
        for entry in all {
            let head = try store.head(ObjectKey(entry.key))
            require(head.tag == entry.tag, "the tag of \(entry.key) in a list and by head")
        }
        require(sameKeys(try listed("conformance/l/", count: 1000), names.dropLast()), "a prefix that is a folder")
        require(
            sameKeys(try listed("conformance/l/b", count: 1000), names[4...7].dropFirst(0)), "a prefix that is none")
        require(sameKeys(try listed("conformance/l/b/2/", count: 1), ["l/b/2/x"]), "a deep prefix")
        require(try listed("conformance/l/c", count: 10).isEmpty, "a prefix of nothing")
        for name in names { try store.delete(key(name)) }
    }

    func listingsComeInPages() throws {
        let names = (0..<25).map { "p/\($0 % 5)/\(10 + $0)" }.sorted()
        for name in names { try put([1], key(name)) }
        for count in [1, 2, 7, 24, 25, 26, 1000] {
            require(sameKeys(try listed("conformance/p/", count: count), names), "pages of \(count)")
        }
        let exact = try store.list(prefix: "conformance/p/", after: nil, count: 25)
        require(!exact.isTruncated, "nothing is behind the last")
        require(try store.list(prefix: "conformance/p/", after: nil, count: 24).isTruncated, "one is behind the last")
        let behind = try listed("conformance/p/", after: "conformance/p/2/", count: 4)
        require(sameKeys(behind, names.filter { $0 > "p/2/" }), "behind a key that is not there")
        require(try listed("conformance/p/", after: "conformance/q", count: 4).isEmpty, "behind the last")
        for name in names { try store.delete(key(name)) }
    }

    func deletedObjectsAreGone() throws {
        let key = try key("deleted/deep/down")
        try put([1, 2, 3], key)
        try store.delete(key)
        expect(.noSuchObject, "head of what was deleted") { _ = try store.head(key) }
        try store.delete(key)
        try store.delete(self.key("never/was/there"))
        try put([4], key)
        try expect(key, holds: [4], "put behind a delete")
        try store.delete(key)
    }

    func attributesStay() throws {
        guard capabilities.keepsAttributes else { return }
        let attributes = ObjectAttributes(
            contentType: "application/x-qemu-disk", userMetadata: ["lathe-content-crc64": "12345", "note": "a b, c=d"])
        let key = try key("attributes")
        try put([1], key, attributes)
        let head = try store.head(key)
        require(head.attributes.contentType == attributes.contentType, "content type: \(head.attributes)")
        require(head.attributes.userMetadata == attributes.userMetadata, "metadata: \(head.attributes)")
        let upload = try store.initiate(key, attributes, partLength: capabilities.partLength, replacing: true)
        let part = try store.upload(ObjectBody([2]), asPart: 1, of: upload)
        _ = try store.complete(upload, parts: [part], replacing: true)
        let whole = try store.head(key)
        require(whole.attributes.contentType == attributes.contentType, "content type: \(whole.attributes)")
        require(whole.attributes.userMetadata == attributes.userMetadata, "metadata: \(whole.attributes)")
        try put([3], key)
        require(try store.head(key).attributes.userMetadata.isEmpty, "metadata of the object that was replaced")
        try store.delete(key)
    }

    func attributesAreGiven() throws {
        guard capabilities.setsAttributes else { return }
        let key = try key("given")
        expect(.noSuchObject, "attributes of nothing") {
            try store.setAttributes(.init(), of: key, tag: "0")
        }
        let tag = try put([1, 2, 3], key, ObjectAttributes(userMetadata: ["old": "1"])).tag
        let attributes = ObjectAttributes(contentType: "text/plain", userMetadata: ["new": "2"])
        try store.setAttributes(attributes, of: key, tag: tag)
        let head = try store.head(key)
        require(head.attributes.userMetadata == ["new": "2"], "metadata that was given: \(head.attributes)")
        require(head.attributes.contentType == "text/plain", "type that was given: \(head.attributes)")
        try expect(key, holds: [1, 2, 3], "attributes that were given")
        try put([4, 5, 6], key)
        expect(.preconditionFailed, "attributes of an object that was replaced") {
            try store.setAttributes(attributes, of: key, tag: tag)
        }
        require(try store.head(key).attributes.userMetadata.isEmpty, "another object's metadata")
        try store.delete(key)
    }

    func objectsAreReplacedOrNot() throws {
        let key = try key("replaced")
        let first = try put(content("first", 5000), key, replacing: false)
        let second = try put(content("second", 40), key)
        require(first.tag != second.tag, "other bytes have the tag \(first.tag)")
        try expect(key, holds: content("second", 40), "replaced")
        if capabilities.refusesReplacing {
            expect(.objectExists, "put of what is there") { try put([9], key, replacing: false) }
            expect(.objectExists, "upload of what is there") {
                let upload = try store.initiate(key, .init(), partLength: capabilities.partLength, replacing: false)
                defer { try? store.abort(upload) }
                let part = try store.upload(ObjectBody([9]), asPart: 1, of: upload)
                _ = try store.complete(upload, parts: [part], replacing: false)
            }
            try expect(key, holds: content("second", 40), "not replaced")
        }
        try store.delete(key)
    }

    /// A body that lies about its checksum arrives as one that was damaged on the way.
    func damagedBodiesAreRefused() throws {
        let key = try key("damaged")
        let bytes = content("damaged", 200_000)
        let damaged = ObjectBody(Bytes(bytes: bytes), length: UInt64(bytes.count), crc64: ~ObjectBody(bytes).crc64)
        expect(.checksumMismatch, "put of a damaged body") {
            _ = try store.put(damaged, to: key, .init(), replacing: true)
        }
        let upload = try store.initiate(key, .init(), partLength: capabilities.partLength, replacing: true)
        expect(.checksumMismatch, "upload of a damaged part") { _ = try store.upload(damaged, asPart: 1, of: upload) }
        // It is sent again, and whole this time.
        let part = try store.upload(ObjectBody(bytes), asPart: 1, of: upload)
        _ = try store.complete(upload, parts: [part], replacing: true)
        try expect(key, holds: bytes, "a part that was sent again")
        try store.delete(key)
    }

    private struct Bytes: BodyContent {
        let bytes: [UInt8]

        func withBytes(
            of range: Range<UInt64>, _ body: (Span<UInt8>) throws(StoreError) -> Void
        ) throws(StoreError) {
            try body(bytes.span.extracting(Int(range.lowerBound)..<Int(range.upperBound)))
        }
    }
}
