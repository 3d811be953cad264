import Foundation
import LatheTestSupport
import ObjectStorage
import Testing

@testable import OSSServer

/// Lists, against what a simple loop over all keys says.
@Suite struct ListingTests {
    private struct Model {
        var keys: [String]

        /// All items with their names, in order.
        func items(prefix: String, delimiter: String) -> [String] {
            var items: [String] = []
            for key in keys where key.utf8.starts(with: prefix.utf8) {
                let rest = key.dropFirst(prefix.count)
                if !delimiter.isEmpty, let end = rest.range(of: delimiter)?.upperBound {
                    let group = prefix + rest[..<end]
                    if items.last != group { items.append(group) }
                } else {
                    items.append(key)
                }
            }
            return items
        }
    }

    @Test func pagesHoldWhatThereIsOnce() async throws { try await onThread { try Self.comparePages() } }

    private static func comparePages() throws {
        let seed: UInt64 = 99
        var generator = SeededGenerator(seed: seed)
        let directory = try TemporaryDirectory()
        let bucket = try DirectoryStore(path: directory.file("store")).ensureBucket(BucketName("disks"))
        let letters = ["a", "b", "/", "é", "漢", "\u{10FFFF}", "-"]
        var keys: Set<String> = []
        while keys.count < 120 {
            let key = (0..<Int.random(in: 1...6, using: &generator)).map { _ in
                letters.randomElement(using: &generator) ?? "a"
            }.joined()
            guard let key = try? ObjectKey(key) else { continue }
            // A directory does not keep `a` beside `a/b`.
            guard (try? bucket.put(ObjectBody([1]), to: key, .init(), replacing: true)) != nil else { continue }
            keys.insert(key.description)
        }
        let model = Model(keys: keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
        for _ in 0..<150 {
            let prefix = ["", "a", "a/", "b", "é", "/", "漢-"].randomElement(using: &generator) ?? ""
            let delimiter = ["", "/", "a", "a/", "é"].randomElement(using: &generator) ?? ""
            let count = Int.random(in: 1...9, using: &generator)
            var found: [String] = []
            var marker = ""
            while true {
                let page = try Listing(bucket, prefix: prefix, delimiter: delimiter, after: marker, count: count)
                #expect(page.items.count <= count)
                #expect(!page.isTruncated || page.items.count == count)
                found += page.items.map(\.name)
                guard let next = page.next else { break }
                marker = next
            }
            let expected = model.items(prefix: prefix, delimiter: delimiter)
            let isSame = found.map { Array($0.utf8) } == expected.map { Array($0.utf8) }
            #expect(isSame, "seed \(seed), prefix '\(prefix)', delimiter '\(delimiter)', \(count) a page")
        }
    }
}
