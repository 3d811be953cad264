import Foundation
import Testing

/// Where images of other programs are.
private enum Corpus {
    static let folder = ProcessInfo.processInfo.environment["LATHE_CORPUS"].flatMap { $0.isEmpty ? nil : $0 }
}

/// Images that VMware, Hyper-V and QEMU wrote, from the folder that LATHE_CORPUS names.
@Suite(.enabled(if: Corpus.folder != nil, "LATHE_CORPUS names no folder")) struct CorpusTests {
    struct Entry: Sendable, CustomTestStringConvertible {
        var file: String
        var virtualSize: UInt64
        /// Of the guest content; nil where every byte of it is zero.
        var sha256: String?
        var testDescription: String { file }
    }

    private static let ext2 = "a6c2f0e39afe6c6ab432ca5465349fcefe8dc944398e97b2d957d3f89dbb5d80"
    static let entries: [Entry] = [
        Entry(file: "ext2.qcow2", virtualSize: 4_194_304, sha256: ext2),
        Entry(file: "ext2.vmdk", virtualSize: 4_194_304, sha256: ext2),
        Entry(
            file: "ext2.vhd", virtualSize: 4_212_736,
            sha256: "870be7ae16c1fa8faab05c6eb9205dc9a7ae35c5f552c5cf8a267c0bc6a5cb99"),
        Entry(
            file: "iotest-version3.vmdk", virtualSize: 17_179_869_184,
            sha256: "0859bb3397bc1d30fa979c80a289ce98bfd6c1141a64594d6f3cc8cd68218faf"),
        Entry(file: "hyperv2012r2-dynamic.vhd", virtualSize: 136_365_211_648),
    ]

    @Test(arguments: entries) func itsDiskIsWhatOtherReadersFound(entry: Entry) throws {
        let image = try #require(Corpus.folder) + "/" + entry.file
        let information = try lathe("info", "--output", "json", image)
        #expect(information.status == 0, "\(information.testDescription)")
        #expect(try information.json()["virtual-size"]?.number == entry.virtualSize)
        let checked = try lathe("check", image)
        #expect(checked.status == 0, "\(checked.testDescription)")
        if let sha256 = entry.sha256 {
            let digest = try lathe("digest", "--algorithm", "sha256", "--output", "json", image)
            #expect(try digest.json()["digest"]?.text == sha256)
        } else {
            let map = try lathe("map", "--output", "json", image).json().elements
            #expect(map.map { $0["length"]?.number } == [entry.virtualSize])
            #expect(map.allSatisfy { $0["zero"]?.flag == true })
        }
    }
}
